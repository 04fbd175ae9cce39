//! What compiles, and what does not and why.

#[test]
fn right_uses_compile_and_run() {
    trybuild::TestCases::new().pass("tests/ui/pass/*.rs");
}

#[test]
fn wrong_uses_are_told_in_place() {
    trybuild::TestCases::new().compile_fail("tests/ui/fail/*.rs");
}
