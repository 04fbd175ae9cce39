//! What does not compile, and what is said about it. What compiles is in `forms` of dlock-annotation.

#[test]
fn wrong_uses_are_told_in_place() {
    trybuild::TestCases::new().compile_fail("tests/ui/fail/*.rs");
}
