//! Numbers that stand in a format's document and in the code are the same.
//!
//! A table in `docs/formats/` under the line `<!-- constants: path -->` names constants of that file, one a row:
//! `` | `MAGIC` | `*b"LARD"` | meaning | ``. The value is the constant's own text, or a number written otherwise.

use crate::tree::Tree;

/// Every constant named by a table has the value that the table says.
pub(super) fn constants(tree: &Tree, faults: &mut Vec<String>) {
    for (path, text) in tree.below("docs/formats/", ".md") {
        let mut source: Option<&str> = None;
        let mut rows = 0;
        for (number, line) in text.lines().enumerate() {
            let place = format!("{path}:{}", number + 1);
            if let Some(named) = line
                .trim()
                .strip_prefix("<!-- constants:")
                .and_then(|rest| rest.strip_suffix("-->"))
            {
                source = Some(named.trim());
                rows = 0;
                if !tree.has(named.trim()) {
                    faults.push(format!("{place}: {} is not there", named.trim()));
                    source = None;
                }
            } else if let Some(file) = source {
                if let Some((name, value)) = row(line) {
                    faults.extend(
                        compare(tree.text(file).unwrap_or_default(), file, name, value)
                            .map(|f| format!("{place}: {f}")),
                    );
                    rows += 1;
                } else if !line.trim_start().starts_with('|') && (rows > 0 || !line.trim().is_empty()) {
                    if rows == 0 {
                        faults.push(format!(
                            "{place}: no table of constants follows the mark for {file}"
                        ));
                    }
                    source = None;
                }
            }
        }
    }
}

/// `` | `NAME` | `value` | … | ``; a heading or a rule of the table is no row.
fn row(line: &str) -> Option<(&str, &str)> {
    let mut cells = line.trim().strip_prefix('|')?.split('|').map(str::trim);
    let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
    let value = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
    Some((name, value))
}

fn compare(source: &str, file: &str, name: &str, value: &str) -> Option<String> {
    let Some(code) = constant(source, name) else {
        return Some(format!("{file} has no constant `{name}`"));
    };
    let same = match (number(&code), number(value)) {
        (Some(code), Some(document)) => code == document,
        _ => squeezed(&code) == squeezed(value),
    };
    (!same).then(|| format!("`{name}` is `{value}` here and `{code}` in {file}"))
}

/// The text of a constant's value: what stands between `=` and `;` after `const NAME:`.
fn constant(source: &str, name: &str) -> Option<String> {
    let head = format!("const {name}:");
    let from = source.find(&head)? + head.len();
    let rest = source.get(from..)?;
    // The type may hold a `;` too (`[u8; 4]`), so the value is sought after the `=`.
    let value = rest.get(rest.find('=')? + 1..)?;
    Some(
        value
            .get(..value.find(';')?)?
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" "),
    )
}

/// The value of a number, or of a product or shift of numbers: `64 * 1024`, `1 << 20`, `0x10_u32`.
fn number(text: &str) -> Option<u128> {
    if let Some((left, right)) = text.split_once("<<") {
        return number(left)?.checked_shl(u32::try_from(number(right)?).ok()?);
    }
    text.split('*').try_fold(1_u128, |product, factor| {
        product.checked_mul(literal(factor.trim())?)
    })
}

fn literal(text: &str) -> Option<u128> {
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    let (digits, radix) = match plain.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (plain.as_str(), 10),
    };
    let suffixes = ["usize", "u128", "u64", "u32", "u16", "u8"];
    let digits = suffixes
        .iter()
        .find_map(|suffix| digits.strip_suffix(suffix))
        .unwrap_or(digits);
    u128::from_str_radix(digits, radix).ok()
}

fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::said;

    const SOURCE: &str = "pub const MAGIC: [u8; 4] = *b\"LARD\";\nconst SIZE_MAX: usize = 64 * 1024;\nconst SEED: u64 = 0xff_u64;\n";

    fn check(document: &str) -> Vec<String> {
        said(
            constants,
            &Tree::of(&[("docs/formats/a.md", document), ("src/codec.rs", SOURCE)]),
        )
    }

    #[test]
    fn what_is_the_same_is_accepted() {
        let rows = "| `MAGIC` | `*b\"LARD\"` | x |\n| `SIZE_MAX` | `65_536` | x |\n| `SEED` | `255` | x |\n";
        let table = format!(
            "<!-- constants: src/codec.rs -->\n\n| constant | value | meaning |\n| --- | --- | --- |\n{rows}\nText.\n"
        );
        assert_eq!(check(&table), Vec::<String>::new());
    }

    #[test]
    fn what_differs_is_a_fault() {
        let table = "<!-- constants: src/codec.rs -->\n| `MAGIC` | `*b\"LARE\"` |\n| `SIZE_MAX` | `1 << 17` |\n| `GONE` | `1` |\n";
        let expected = [
            "docs/formats/a.md:2: `MAGIC` is `*b\"LARE\"` here and `*b\"LARD\"` in src/codec.rs",
            "docs/formats/a.md:3: `SIZE_MAX` is `1 << 17` here and `64 * 1024` in src/codec.rs",
            "docs/formats/a.md:4: src/codec.rs has no constant `GONE`",
        ];
        assert_eq!(check(table), expected);
    }

    #[test]
    fn a_mark_without_table_or_file_is_a_fault() {
        assert_eq!(
            check("<!-- constants: src/none.rs -->\n"),
            ["docs/formats/a.md:1: src/none.rs is not there"]
        );
        let expected = ["docs/formats/a.md:3: no table of constants follows the mark for src/codec.rs"];
        assert_eq!(check("<!-- constants: src/codec.rs -->\n\nText.\n"), expected);
    }
}
