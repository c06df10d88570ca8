//! Traces with sizes, sets and deletes, and every figure in every form.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::run;

/// Nine reads, of 44 bytes in all.
const MIXED: &str = "\
time,op,key,size
0,get,a,4
1,get,b,4
2,get,a,4
3,get,c,20
4,get,b,4
5,set,a,6
6,get,b,4
7,delete,b,
8,get,b,
9,get,z,0
10,get,z,0
";

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn said(folder: &Path, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = ["replay", "--json", "--quiet"]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    let (code, out, error) = run(folder, &arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {out}{error}");
    serde_json::from_str(&out).unwrap()
}

fn near(value: &Value, expected: f64) -> bool {
    (value.as_f64().unwrap() - expected).abs() < 1e-9
}

/// In eight bytes LRU has `a` and `b`; `c` does not fit and drives nobody out; `a` grows and drives `b` out; what was deleted is not there; what
/// weighs nothing is. Who knows the future keeps `b`, for `a` is not read again.
///
/// Contract: S137
#[test]
fn sizes_are_simulated_by_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "mixed.csv", MIXED);
    let report = said(folder.path(), &["--capacity", "8B", &path]);
    let number = |name: &str| report[name].as_u64().unwrap();
    assert_eq!(
        (
            number("accesses"),
            number("reads"),
            number("keys"),
            number("bytes")
        ),
        (11, 9, 4, 30)
    );
    assert_eq!(report["capacities"], Value::Array(Vec::new()));
    let at = &report["capacities_in_bytes"][0];
    assert_eq!(at["bytes"], 8);
    let policies = at["policies"].as_array().unwrap();
    let lru = policies.iter().find(|of| of["policy"] == "LRU").unwrap();
    assert!(
        near(&lru["hit_ratio"], 3.0 / 9.0) && near(&lru["byte_hit_ratio"], 8.0 / 44.0),
        "{lru}"
    );
    let reference = &at["reference"];
    assert!(
        near(&reference["hit_ratio"], 4.0 / 9.0) && near(&reference["byte_hit_ratio"], 12.0 / 44.0),
        "{reference}"
    );
    // By percent both: of four keys, and of thirty bytes.
    let report = said(folder.path(), &["--capacity", "50%,1KiB", &path]);
    let capacities = |name: &str, unit: &str| -> Vec<u64> {
        let all = report[name].as_array().unwrap().iter();
        all.map(|at| at[unit].as_u64().unwrap()).collect()
    };
    assert_eq!(capacities("capacities", "entries"), [2]);
    assert_eq!(capacities("capacities_in_bytes", "bytes"), [15, 1_024]);
    let (_, table, _) = run(folder.path(), &["replay", "--quiet", "--capacity", "8B", &path]);
    assert!(
        table.contains("  reference         44.44 %   27.27 % of bytes"),
        "{table}"
    );
}

/// Contract: S137 (partial: capacities that a trace does not have), S136 (partial: sizes)
#[test]
fn sizes_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let keys = write(folder.path(), "keys", "a\nb\na\n");
    let (code, out, error) = run(folder.path(), &["replay", "--capacity", "1MiB", &keys]);
    assert!(
        code == Some(2) && out.is_empty() && error.contains("no sizes"),
        "{code:?} {error}"
    );
    for capacity in ["0B", "1.5MiB", "1kb", "2097152TiB", "NaN%", "MiB"] {
        let (code, _, error) = run(folder.path(), &["replay", "--capacity", capacity, &keys]);
        assert!(
            code == Some(2) && error.contains("64MiB"),
            "{capacity}: {code:?} {error}"
        );
    }
    // Of a terabyte at most, and whole.
    for (size, is_read) in [
        ("1099511627776", true),
        ("1099511627777", false),
        ("-1", false),
        ("1.5", false),
    ] {
        for (name, line) in [
            ("csv", format!("1,get,a,{size}\n")),
            ("text", format!("1 a {size}\n")),
        ] {
            let path = write(folder.path(), name, &line);
            let (code, _, error) = run(folder.path(), &["replay", "--format", name, &path]);
            let expected = if is_read { Some(0) } else { Some(3) };
            assert_eq!(code, expected, "{name} {size}: {error}");
        }
    }
    let path = write(folder.path(), "sets", "1,set,a,5\n2,delete,a,\n");
    let (code, _, error) = run(folder.path(), &["replay", "--format", "csv", &path]);
    assert!(
        code == Some(3) && error.contains("nothing in it is read"),
        "{code:?} {error}"
    );
}

/// Numbers of a JSON value, but those that are places in a list.
fn numbers(value: &Value, found: &mut Vec<f64>) {
    match value {
        Value::Number(number) => found.push(number.as_f64().unwrap()),
        Value::Array(items) => items.iter().for_each(|item| numbers(item, found)),
        Value::Object(fields) => fields.values().for_each(|value| numbers(value, found)),
        _ => {}
    }
}

/// Accesses with sizes, sets and deletes, from a seed.
fn drawn(count: u64, keys: u64) -> String {
    let mut random = larder_testkit::Random::seeded(9);
    let mut text = String::new();
    for time in 0..count {
        let bound = 1 + random.below(keys);
        let key = random.below(bound);
        let op = match random.below(20) {
            0 => "delete",
            1 => "set",
            _ => "get",
        };
        writeln!(text, "{time},{op},{key},{}", 1 + key * 31 % 900).unwrap();
    }
    text
}

/// What is in JSON is in CSV, and the same each time: what is simulated, sampled and recommended, by entries and by bytes, and what is driven.
///
/// Contract: S139, S140
#[test]
fn every_figure_is_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "drawn.csv", &drawn(3_000, 400));
    let report = said(folder.path(), &[&path]);
    assert_eq!(
        said(folder.path(), &[&path]),
        report,
        "the same file, the same figures"
    );
    let (code, csv, _) = run(folder.path(), &["replay", "--quiet", "--csv", &path]);
    assert_eq!(code, Some(0));
    let (mut in_json, mut in_csv) = (Vec::new(), Vec::new());
    numbers(&report, &mut in_json);
    let cells = csv.lines().skip(1).flat_map(|line| line.split(','));
    in_csv.extend(cells.filter_map(|cell| cell.parse::<f64>().ok()));
    assert!(in_json.len() > 300, "{} figures", in_json.len());
    for figure in &in_json {
        let is_known = in_csv.iter().any(|known: &f64| (known - figure).abs() < 1e-12);
        assert!(is_known, "{figure} is not in {csv}");
    }
    let count = |text: &str| csv.lines().filter(|line| line.starts_with(text)).count();
    let points = |name: &str| report[name].as_array().unwrap().len();
    assert_eq!(count("curve,LRU,true,entries"), points("lru_curve"));
    assert_eq!(count("curve,LRU,true,bytes"), points("lru_curve_in_bytes"));
    assert_eq!((count("simulated,"), count("recommended,")), (2 * 3 * 8, 4));
    // Two of its small capacities are the same.
    assert_eq!(
        (
            count("sampled,S3-FIFO,true,entries"),
            count("sampled,S3-FIFO,true,bytes")
        ),
        (16, 17)
    );
    // A table fits into a hundred columns.
    let (_, table, _) = run(folder.path(), &["replay", "--quiet", &path]);
    let longest = table.lines().map(|line| line.chars().count()).max();
    assert!(longest <= Some(100), "{table}");
}

/// Sets and deletes of a trace are driven as writes of the row, beside those that are injected.
///
/// Contract: S138 (partial: writes of the trace and injected ones), S140 (partial: driven figures)
#[test]
fn writes_of_a_trace_are_driven() {
    let folder = tempfile::tempdir().unwrap();
    let text = drawn(2_000, 200);
    let path = write(folder.path(), "drawn.csv", &text);
    let arguments = [path.as_str(), "--writes", "5%", "--threads", "1", "--seed", "4"];
    let driven = said(folder.path(), &arguments)["driven"].clone();
    let number = |name: &str| driven[name].as_u64().unwrap();
    let own = text.lines().filter(|line| !line.contains(",get,")).count() as u64;
    assert_eq!(number("writes") - number("injected"), own, "{driven}");
    assert!(number("injected") > 50 && number("stale") == 0, "{driven}");
    assert_eq!(number("accesses"), 2_000);
    let (code, csv, error) = run(
        folder.path(),
        &[
            "replay",
            "--quiet",
            "--csv",
            &path,
            "--writes",
            "5%",
            "--threads",
            "1",
            "--seed",
            "4",
        ],
    );
    assert_eq!(code, Some(0), "{error}");
    for name in ["writes", "injected", "rows", "reads", "stale"] {
        let line = format!("driven,{name},,,,,,{}", number(name));
        assert!(csv.lines().any(|found| found == line), "{line}: {csv}");
    }
    // How many are checked depends on how many hit, which was seen to differ by one between two runs.
    let checked = csv
        .lines()
        .find_map(|line| line.strip_prefix("driven,checked,,,,,,"));
    let checked: u64 = checked.unwrap().parse().unwrap();
    assert!(checked.abs_diff(number("checked")) < 50, "{checked}: {driven}");
    for name in ["hit.p50", "lag.p99", "tiers.1.ratio", "seconds"] {
        assert!(csv.contains(&format!("\ndriven,{name},,,,,,")), "{name}: {csv}");
    }
}
