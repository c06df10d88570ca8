//! The closed list of watermarks, type by type, and entities that have one.

use std::marker::PhantomData;
use std::time::{Duration, SystemTime};

use larder_pool::{Entity, Position, Watermark, Watermarked};

/// Says whether a type is a watermark: its own constant is found before that of a trait, where its bound holds.
struct Probe<T>(PhantomData<T>);

impl<T: Watermark> Probe<T> {
    const IS: bool = true;
}

trait Otherwise {
    const IS: bool = false;
}

impl<T> Otherwise for Probe<T> {}

macro_rules! watermarks {
    ($($Type:ty,)*) => { [$((stringify!($Type), <Probe<$Type>>::IS),)*] };
}

#[track_caller]
fn all(expected: bool, types: &[(&str, bool)]) {
    for (name, is) in types {
        assert_eq!(*is, expected, "{name}");
    }
}

/// Contract: P8 (partial: the types of the standard library and Larder)
#[test]
fn the_list_of_watermarks_is_closed() {
    let listed = watermarks![
        u8,
        u16,
        u32,
        u64,
        u128,
        usize,
        i8,
        i16,
        i32,
        i64,
        i128,
        isize,
        SystemTime,
        Position,
        (u8, u8),
        (u64, SystemTime, Position),
        (u8, u8, u8, u8),
        ((u8, u8), u8),
    ];
    all(true, &listed);
    let others = watermarks![
        bool,
        char,
        (),
        Duration,
        (u8,),
        (u8, u8, u8, u8, u8),
        String,
        &'static str,
        f64,
        [u8; 8],
        Option<u64>,
        (u8, bool),
        (Duration, u8, u8),
        std::time::Instant,
        Box<u64>,
    ];
    all(false, &others);
}

/// Contract: P8 (partial: the types of other libraries)
#[cfg(all(feature = "chrono", feature = "jiff", feature = "time"))]
#[test]
fn dates_and_times_of_other_libraries_are_watermarks_by_feature() {
    let listed = watermarks![
        time::Date,
        time::OffsetDateTime,
        time::PrimitiveDateTime,
        chrono::DateTime<chrono::Utc>,
        chrono::DateTime<chrono::FixedOffset>,
        chrono::NaiveDate,
        chrono::NaiveDateTime,
        jiff::Timestamp,
        (jiff::Timestamp, u64),
    ];
    all(true, &listed);
    let others = watermarks![
        time::Time,
        time::Duration,
        time::UtcOffset,
        chrono::NaiveTime,
        chrono::TimeDelta,
        jiff::Span,
        jiff::Zoned,
        jiff::civil::Date,
    ];
    all(false, &others);
}

/// Contract: P8
#[test]
fn a_marked_field_is_the_watermark() {
    #[derive(Entity)]
    struct Row {
        id: u64,
        #[entity(watermark)]
        changed: (SystemTime, u64),
    }
    let row = |nanos, version| Row {
        id: 1,
        changed: (SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos), version),
    };
    assert_eq!(
        row(5, 2).watermark(),
        (SystemTime::UNIX_EPOCH + Duration::from_nanos(5), 2)
    );
    // Part by part.
    assert!(row(5, 2).watermark() < row(5, 3).watermark());
    assert!(row(5, 9).watermark() < row(6, 0).watermark());
    assert_eq!(row(5, 2).id(), 1);
}

/// Contract: P8 (partial: by hand)
#[test]
fn a_watermark_may_be_made_by_hand() {
    #[derive(Entity)]
    struct Row {
        id: u64,
        major: u32,
        minor: u32,
    }
    impl Watermarked for Row {
        type Watermark = (u32, u32);

        fn watermark(&self) -> (u32, u32) {
            (self.major, self.minor)
        }
    }
    let newest = |rows: &[Row]| rows.iter().map(Watermarked::watermark).max();
    let row = |major, minor| Row { id: 1, major, minor };
    assert_eq!(newest(&[row(1, 9), row(2, 0), row(1, 3)]), Some((2, 0)));
}
