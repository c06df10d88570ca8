//! Targets from text. Framed: a byte that chooses the kind, and two parts, written as text with every byte escaped.

use larder_core::{Target, TargetError, TargetHash};

use super::Decoded;

pub(super) fn check(input: &[u8]) -> Decoded {
    let raw = str::from_utf8(input).is_ok_and(decodes);
    let Some((&choice, parts)) = input.split_first() else {
        return Decoded { raw, framed: false };
    };
    Decoded {
        raw,
        framed: check_parts(choice, parts),
    }
}

fn decodes(text: &str) -> bool {
    let Ok(target) = text.parse::<Target>() else {
        return false;
    };
    let printed = target.to_string();
    assert_eq!(printed.parse(), Ok(target.clone()), "a printed target comes back");
    assert!(
        !printed.chars().any(char::is_control),
        "nothing printed is a control character"
    );
    assert!(!target.is_private(), "private targets are not read");
    let up = std::iter::successors(Some(target.clone()), Target::parent);
    let hashes: Vec<TargetHash> = up.map(|target| target.hash()).collect();
    assert_eq!(
        &*target.lineage(),
        hashes.as_slice(),
        "a lineage is the target and its parents"
    );
    assert_eq!(
        hashes.last(),
        Some(&TargetHash::EVERYTHING),
        "all are under everything"
    );
    true
}

/// The target made of the parts and the one read from their text are the same, or refused for the same fault.
fn check_parts(choice: u8, parts: &[u8]) -> bool {
    // The first part ends at a line feed, which is in no name.
    let mut split = parts.splitn(2, |byte| *byte == b'\n');
    let (first, last) = (split.next().unwrap_or_default(), split.next().unwrap_or_default());
    let (kind, made) = match choice % 6 {
        0 => (
            "key",
            name("namespace", first).and_then(|first| Target::key(first, last)),
        ),
        1 => (
            "tag",
            both("tag", first, last).and_then(|(first, last)| Target::tag(first, last)),
        ),
        2 => (
            "dependency",
            both("dependency", first, last).and_then(|(first, last)| Target::dependency(first, last)),
        ),
        3 => (
            "entity",
            name("entity", first).and_then(|first| Target::entity(first, last)),
        ),
        4 => (
            "collection",
            name("collection", first).and_then(Target::collection),
        ),
        _ => ("namespace", name("namespace", first).and_then(Target::namespace)),
    };
    let text = match choice % 6 {
        4 | 5 => format!("{kind}:{}", escaped(first)),
        _ => format!("{kind}:{}/{}", escaped(first), escaped(last)),
    };
    let read = text.parse::<Target>();
    match (&read, &made) {
        (Ok(read), Ok(made)) => assert_eq!(read, made, "{text}"),
        // With two parts at fault either may be named; that they are refused is what matters.
        (Err(_), Err(_)) => {}
        _ => panic!("{text} is read as {read:?} and made as {made:?}"),
    }
    read.is_ok() && decodes(&text)
}

fn name<'a>(part: &'static str, bytes: &'a [u8]) -> Result<&'a str, TargetError> {
    str::from_utf8(bytes).map_err(|_| TargetError::NotUtf8 { part })
}

fn both<'a>(part: &'static str, first: &'a [u8], last: &'a [u8]) -> Result<(&'a str, &'a str), TargetError> {
    // The namespace is looked at first, as a whole.
    let first = name("namespace", first)?;
    Ok((first, name(part, last)?))
}

/// Every byte as an escape, also those that need none.
fn escaped(part: &[u8]) -> String {
    let mut text = String::with_capacity(3 * part.len());
    for byte in part {
        let digit =
            |half: u8| char::from_digit(u32::from(half), 16).expect("invariant: four bits are one digit");
        text.extend(['%', digit(byte >> 4), digit(byte & 0x0f)]);
    }
    text
}
