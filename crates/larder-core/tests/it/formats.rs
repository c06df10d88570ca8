//! Documents that state values which the code must agree with, read as they stand.

use larder_core::{Target, TargetHash};

/// The table of lineages in `docs/formats/fence.md`.
///
/// Contract: O6, F1 (partial: which cells)
#[test]
fn lineages_are_as_documented() {
    let page = include_str!("../../../../docs/formats/fence.md");
    let (_, table) = page
        .split_once("| --- | --- | --- | --- |\n")
        .expect("the table of lineages");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .take_while(|line| line.starts_with('|'))
        .map(cells)
        .collect();
    assert!(rows.len() >= 7, "rows are missing: {rows:?}");
    for row in rows {
        let [target, hashes @ ..] = row.as_slice() else {
            panic!("an empty row")
        };
        let target: Target = target.parse().unwrap();
        let lineage: Vec<String> = target.lineage().iter().map(TargetHash::to_string).collect();
        assert_eq!(lineage, hashes, "{target}");
    }
}

fn cells(row: &str) -> Vec<&str> {
    row.split('|')
        .map(|cell| cell.trim().trim_matches('`'))
        .filter(|cell| !cell.is_empty())
        .collect()
}
