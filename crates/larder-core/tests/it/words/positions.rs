//! Positions, epochs, sources, points of a copy: text, and what has no order.

use larder_core::{AsOf, Epoch, Position, PositionError, SourceId};
use proptest::prelude::*;

use super::runs;

/// Contract: O12 (partial: order and text only)
#[test]
fn positions_are_ordered_and_have_a_text() {
    assert!(Position::new(9) < Position::new(10), "by number, not by text");
    assert_eq!(Position::new(9).next(), Position::new(10));
    assert_eq!(
        Position::MAX.next(),
        Position::MAX,
        "there is none after the last"
    );
    assert_eq!(Position::new(u64::MAX).to_string(), "18446744073709551615");
    for refused in [
        "",
        "-1",
        "+1",
        "01",
        " 1",
        "1 ",
        "1.0",
        "0x1",
        "18446744073709551616",
        "١",
    ] {
        assert_eq!(
            refused.parse::<Position>(),
            Err(PositionError::Position),
            "{refused:?}"
        );
    }
}

/// Contract: O13 (partial: former epochs are kept by the source)
#[test]
fn epochs_and_sources_are_sixteen_digits_and_have_no_order() {
    assert_eq!(Epoch::new(0xab).to_string(), "00000000000000ab");
    assert_eq!(SourceId::new(u64::MAX).to_string(), "ffffffffffffffff");
    for refused in [
        "",
        "ab",
        "00000000000000AB",
        "+0000000000000ab",
        "0x000000000000ab",
        "00000000000000abc",
    ] {
        assert_eq!(refused.parse::<Epoch>(), Err(PositionError::Epoch), "{refused:?}");
        assert_eq!(
            refused.parse::<SourceId>(),
            Err(PositionError::SourceId),
            "{refused:?}"
        );
    }
}

/// Contract: O13 (partial: former epochs are kept by the source), O15 (partial: the type only)
#[test]
fn a_point_of_a_copy_names_source_and_epoch() {
    let (source, epoch) = (SourceId::new(1), Epoch::new(2));
    let as_of = AsOf::new(source, epoch, 3);
    assert_eq!((as_of.source(), as_of.epoch(), as_of.point()), (source, epoch, 3));
    assert_ne!(as_of, AsOf::new(SourceId::new(9), epoch, 3));
    assert_ne!(as_of, AsOf::new(source, Epoch::new(9), 3));
    assert_ne!(as_of, AsOf::new(source, epoch, 9));
}

/// Only the fence compares points of a copy, and nobody compares positions of two epochs: the types have no order
/// that could be used by mistake. `NoOrder` applies to a type exactly if `PartialOrd` does not, so that the calls
/// below are ambiguous, and do not compile, once it does.
///
/// Contract: O13 (partial: former epochs are kept by the source), O15 (partial: the type only)
#[test]
fn what_must_not_be_compared_cannot_be() {
    trait NoOrder<Which> {
        fn no_order() {}
    }
    struct Ordered;
    impl<T> NoOrder<()> for T {}
    impl<T: PartialOrd> NoOrder<Ordered> for T {}
    <AsOf as NoOrder<_>>::no_order();
    <Epoch as NoOrder<_>>::no_order();
    <SourceId as NoOrder<_>>::no_order();
    <larder_core::Cursor as NoOrder<_>>::no_order();
    <larder_core::Token as NoOrder<_>>::no_order();
}

proptest! {
    #![proptest_config(runs(500))]

    /// Contract: O12 (partial: order and text only), O13 (partial: former epochs are kept by the source)
    #[test]
    fn positions_epochs_and_sources_come_back_from_their_text(number: u64) {
        prop_assert_eq!(Position::new(number).to_string().parse(), Ok(Position::new(number)));
        prop_assert_eq!(Epoch::new(number).to_string().parse(), Ok(Epoch::new(number)));
        prop_assert_eq!(SourceId::new(number).to_string().parse(), Ok(SourceId::new(number)));
        prop_assert_eq!(Position::new(number).get(), number);
    }
}
