//! The lock recipe as pure functions of the nodes in a lock's directory: which node's turn it is, and which node to
//! watch.
//!
//! Every contender has an ephemeral sequential node in the directory of the key, and the node with the lowest number holds
//! the lock. One directory may hold nodes of several clients and [dialects](super::Dialect).

use super::dialect::is_of_a_contender;
use std::cmp::Ordering;

/// Where a node stands among the children of its directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Position {
    /// It holds the lock.
    First,
    /// The node comes after this one, and if it is the second, after no other.
    Behind { nearest: String, is_next: bool },
    /// It is not there.
    Gone,
}

/// Where the node called `own` stands.
pub(crate) fn position(children: &[String], own: &str) -> Position {
    let Some(mine) = children.iter().find_map(|child| Contender::parse(child).filter(|it| it.name == own))
    else {
        return Position::Gone;
    };
    let contenders = children.iter().filter_map(|child| Contender::parse(child));
    let ahead: Vec<_> = contenders.filter(|other| other.compare(&mine) == Ordering::Less).collect();
    match ahead.iter().copied().max_by(Contender::compare) {
        Some(nearest) => Position::Behind { nearest: nearest.name.to_owned(), is_next: ahead.len() == 1 },
        None => Position::First,
    }
}

/// The child that holds the lock.
pub(crate) fn first(children: &[String]) -> Option<&str> {
    let contenders = children.iter().filter_map(|child| Contender::parse(child));
    contenders.min_by(Contender::compare).map(|first| first.name)
}

/// The children that take part, in order of arrival. The first one holds the lock.
pub(crate) fn in_order(children: &[String]) -> Vec<&str> {
    let mut contenders: Vec<_> = children.iter().filter_map(|child| Contender::parse(child)).collect();
    contenders.sort_by(Contender::compare);
    contenders.into_iter().map(|contender| contender.name).collect()
}

/// The children with this [prefix](super::Dialect::prefix): the nodes that the requests of one owner have made. Usually
/// at most one.
pub(crate) fn of_owner<'a>(children: &'a [String], prefix: &'a str) -> impl Iterator<Item = &'a str> {
    let own = move |child: &&str| child.starts_with(prefix) && Contender::parse(child).is_some();
    children.iter().map(String::as_str).filter(own)
}

/// Whether some child is not a contender, and so not counted here, although Curator would count it.
pub(crate) fn has_strangers(children: &[String]) -> bool {
    children.iter().any(|child| Contender::parse(child).is_none())
}

/// A child that takes part.
#[derive(Debug, Clone, Copy)]
struct Contender<'a> {
    name: &'a str,
    sequence: i32,
}

impl<'a> Contender<'a> {
    /// The name of a contender of any client, as in `…lock-0000000042`. Anything else is `None`.
    fn parse(name: &'a str) -> Option<Self> {
        let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
        let (before, number) = name.split_at_checked(name.len().checked_sub(digits)?)?;
        let number = number.parse::<i64>().ok()?;
        // `%010d`: a minus sign takes one of the ten places, except in the lowest numbers.
        let number = match (digits, before.strip_suffix('-')) {
            (10, _) if is_of_a_contender(before) => number,
            (9 | 10, Some(before)) if is_of_a_contender(before) => -number,
            _ => return None,
        };
        Some(Self { name, sequence: i32::try_from(number).ok()? })
    }

    /// The order of arrival. Numbers are compared in the order of the counter, past its change of sign. The counter
    /// makes no equal numbers; if there are some, they are compared by name, so that every client sees the same order.
    fn compare(&self, other: &Self) -> Ordering {
        self.sequence.wrapping_sub(other.sequence).cmp(&0).then_with(|| self.name.cmp(other.name))
    }
}

#[cfg(test)]
mod tests {
    use super::super::dialect::Dialect;
    use super::*;
    use crate::lease::OwnerId;
    use proptest::prelude::*;

    fn prefix(dialect: Dialect) -> String {
        dialect.prefix(OwnerId::random().unwrap())
    }

    fn names(children: &[&str]) -> Vec<String> {
        children.iter().map(ToString::to_string).collect()
    }

    fn next_to(name: &str) -> Position {
        Position::Behind { nearest: name.to_owned(), is_next: true }
    }

    fn behind(name: &str) -> Position {
        Position::Behind { nearest: name.to_owned(), is_next: false }
    }

    fn node(sequence: i32) -> String {
        let dialect = [Dialect::Curator, Dialect::Kazoo][usize::from(sequence % 2 == 0)];
        format!("{}{sequence:010}", prefix(dialect))
    }

    #[test]
    fn the_lowest_number_holds_and_each_other_comes_after_its_nearest() {
        let children = names(&["a-lock-0000000007", "z-lock-0000000002", "m-lock-0000000005"]);
        assert_eq!(position(&children, "z-lock-0000000002"), Position::First);
        assert_eq!(position(&children, "m-lock-0000000005"), next_to("z-lock-0000000002"));
        assert_eq!(position(&children, "a-lock-0000000007"), behind("m-lock-0000000005"));
        assert_eq!(position(&children, "b-lock-0000000009"), Position::Gone);
    }

    #[test]
    fn contenders_of_other_clients_count() {
        for other in [
            "lock-0000000001",
            "_c_0123456789abcdef0123456789abcdef-lock-0000000001",
            "0123456789abcdef0123456789abcdef__lock__0000000001",
            "0123456789abcdef0123456789abcdef__rlock__0000000001",
            "0123456789abcdef0123456789abcdeflock-0000000001",
            "0000000001",
            "\u{fc}lock-0000000001",
            "lock--000000001",
        ] {
            let children = names(&[other, "_c_x-lock-0000000002"]);
            assert_eq!(position(&children, "_c_x-lock-0000000002"), next_to(other), "{other}");
        }
    }

    #[test]
    fn strangers_are_passed_over() {
        let long = "y".repeat(300);
        let strangers = [
            "x",
            "",
            "0",
            "-",
            "lock-",
            "lock-abc",
            "lock-1",
            "lock-000000001",
            "lock-00000000001",
            "lock-9999999999",
            "x0000000001",
            "_c_x-__WRIT__0000000001",
            "_c_x-lease-0000000001",
            "lock-a\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}a",
            "lock-\u{661}\u{662}\u{663}",
            "lock-000000000\u{661}",
            "lock-0000000001\u{e9}",
            &long,
        ];
        for stranger in strangers {
            let children = names(&[stranger, "_c_x-lock-0000000002"]);
            assert_eq!(position(&children, "_c_x-lock-0000000002"), Position::First, "{stranger}");
            assert!(has_strangers(&children), "{stranger}");
        }
        assert!(!has_strangers(&names(&["_c_x-lock-0000000002"])));
    }

    #[test]
    fn the_counter_is_followed_past_its_sign_change() {
        let [last, wrapped, next] = [i32::MAX, i32::MIN, i32::MIN + 1].map(node);
        let children = [wrapped.clone(), next.clone(), last.clone()];
        assert_eq!(position(&children, &last), Position::First);
        assert_eq!(position(&children, &wrapped), next_to(&last));
        assert_eq!(position(&children, &next), behind(&wrapped));
    }

    #[test]
    fn negative_numbers_are_read_as_java_prints_them() {
        for (name, sequence) in [
            ("lock--000000005", -5),
            ("lock--2147483648", i32::MIN),
            ("lock--2147483647", -i32::MAX),
            ("__lock__-000000005", -5),
        ] {
            assert_eq!(Contender::parse(name).map(|it| it.sequence), Some(sequence), "{name}");
        }
    }

    #[test]
    fn the_nodes_of_an_owner_are_found_among_all() {
        for own in [Dialect::Curator, Dialect::Kazoo].map(prefix) {
            let mine = format!("{own}0000000003");
            let children = [node(1), format!("{own}x"), mine.clone(), node(8)];
            assert_eq!(of_owner(&children, &own).collect::<Vec<_>>(), [mine.as_str()]);
        }
    }

    proptest! {
        /// I6: wherever the counter stands, the predecessors form one chain in order of arrival.
        #[test]
        fn predecessors_are_a_chain_in_order_of_arrival(
            start in any::<i32>(),
            steps in prop::collection::vec(1..1_000i32, 1..20),
            strangers in prop::collection::vec(".{0,20}", 0..5),
            turn in any::<prop::sample::Index>(),
        ) {
            let mut sequence = start;
            let arrived: Vec<_> = steps.iter().map(|step| { sequence = sequence.wrapping_add(*step); node(sequence) }).collect();
            let mut children = arrived.clone();
            children.extend(strangers);
            let middle = turn.index(children.len());
            children.rotate_left(middle);
            prop_assert_eq!(position(&children, &arrived[0]), Position::First);
            prop_assert_eq!(first(&children), Some(arrived[0].as_str()));
            prop_assert_eq!(in_order(&children), arrived.iter().map(String::as_str).collect::<Vec<_>>());
            for (before, pair) in arrived.windows(2).enumerate() {
                let expected = if before == 0 { next_to(&pair[0]) } else { behind(&pair[0]) };
                prop_assert_eq!(position(&children, &pair[1]), expected);
            }
        }

        #[test]
        fn no_name_is_too_odd(name in ".{0,40}", digits in "-?[0-9\u{661}]{0,12}") {
            for name in [name.clone(), digits.clone(), format!("{name}lock-{digits}"), format!("{name}__lock__{digits}")] {
                let children = [name.clone()];
                let known = Contender::parse(&name).is_some();
                prop_assert_eq!(position(&children, &name), if known { Position::First } else { Position::Gone });
            }
        }
    }
}
