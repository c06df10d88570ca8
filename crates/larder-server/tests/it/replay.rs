//! Traces in every form, what is said of them, and what is refused.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use super::{larder, run};

/// The keys 1, 2, 3, 1, 2, 4, 1: two hits at a capacity of two if one knows the future.
const KEYS: [u32; 7] = [1, 2, 3, 1, 2, 4, 1];

fn write(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

fn said(folder: &Path, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = ["replay", "--json", "--capacity", "2", "--quiet"]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    let (code, out, error) = run(folder, &arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {out}{error}");
    serde_json::from_str(&out).unwrap()
}

/// Whatever it is written in, it is the same trace.
///
/// Contract: S136
#[test]
fn a_trace_is_read_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let lines = |line: &dyn Fn(u32) -> String| KEYS.iter().map(|key| line(*key) + "\n").collect::<String>();
    let keys = format!("# from somewhere\n\n*\n{}", lines(&|key| format!("key-{key}")));
    let csv = format!(
        "time,op,key,size,ttl\n{}",
        lines(&|key| format!("0.5,GET,k{key},100,60"))
    );
    let text = lines(&|key| format!("12 /page/{key} 900"));
    let arc = "1 3 0 7\n1 2 0 8\n4 1 0 9\n1 1 0 10\n".to_owned();
    let texts = [("keys", keys), ("csv", csv), ("text", text), ("arc", arc)];
    let mut expected = None;
    let mut check = |found: Value, format: &str| {
        assert_eq!(found["format"], format);
        let mut figures = found.clone();
        let fields = figures.as_object_mut().unwrap();
        fields.remove("format");
        // Of those that have sizes there is more to say.
        let is_sized = ["csv", "text"].contains(&format);
        assert_eq!(fields["bytes"].is_u64(), is_sized, "{format}: {found}");
        fields.retain(|name, _| !name.contains("bytes"));
        for curve in fields["sampled_curves"].as_array_mut().unwrap() {
            let points = curve.as_object_mut().unwrap().remove("by_bytes").unwrap();
            assert_eq!(points.as_array().unwrap().is_empty(), !is_sized, "{format}");
        }
        let recommended = fields["recommended"].as_object_mut().unwrap();
        recommended.retain(|name, _| !name.contains("bytes"));
        assert_eq!(&figures, expected.get_or_insert(figures.clone()), "{format}");
    };
    for (format, text) in &texts {
        let path = write(folder.path(), format, text.as_bytes());
        // It is recognised, and may be said.
        check(said(folder.path(), &[&path]), format);
        check(said(folder.path(), &[&path, "--format", format]), format);
    }
    let raw: [(&str, Vec<u8>); 5] = [
        ("orm", KEYS.iter().flat_map(|key| key.to_be_bytes()).collect()),
        ("i32be", KEYS.iter().flat_map(|key| key.to_be_bytes()).collect()),
        ("i32le", KEYS.iter().flat_map(|key| key.to_le_bytes()).collect()),
        (
            "i64be",
            KEYS.iter()
                .flat_map(|key| u64::from(*key).to_be_bytes())
                .collect(),
        ),
        (
            "i64le",
            KEYS.iter()
                .flat_map(|key| u64::from(*key).to_le_bytes())
                .collect(),
        ),
    ];
    for (format, bytes) in &raw {
        let path = write(folder.path(), format, bytes);
        check(said(folder.path(), &[&path, "--format", format]), format);
    }
    let expected = expected.unwrap();
    assert_eq!(
        (&expected["accesses"], &expected["keys"]),
        (&Value::from(7), &Value::from(4))
    );
    let optimum = expected["capacities"][0]["optimum"].as_f64().unwrap();
    assert!((optimum - 3.0 / 7.0).abs() < 1e-9, "{expected}");
}

/// Contract: S136 (partial: archives)
#[test]
fn archives_are_known_by_their_first_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let plain = "a\nb\na\n".repeat(50);
    let path = write(folder.path(), "plain", plain.as_bytes());
    let expected = said(folder.path(), &[&path]);
    // What `gzip`, `xz` and `zstd` have made of it.
    let archives = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for name in ["keys.gz", "keys.xz", "keys.zst"] {
        let archive = archives.join(name);
        assert_eq!(
            said(folder.path(), &[archive.to_str().unwrap()]),
            expected,
            "{name}"
        );
        let packed = std::fs::read(&archive).unwrap();
        let cut = write(folder.path(), name, &packed[..packed.len() / 2]);
        let (code, out, error) = run(folder.path(), &["replay", &cut]);
        assert!(
            code == Some(3) && out.is_empty() && error.contains("cannot be unpacked"),
            "{name}: {code:?} {error}"
        );
    }
}

/// What is no text must be said: a table shows what the numbers look like in each reading. What cannot be read is refused by its first line.
///
/// Contract: S136 (partial: refused), S108 (partial: no such thing)
#[test]
fn regression_26_what_cannot_be_known_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let words: Vec<u8> = (0..2_000_u32)
        .flat_map(|at| (at % 50 + 7).to_le_bytes())
        .collect();
    let path = write(folder.path(), "raw", &words);
    let (code, out, error) = run(folder.path(), &["replay", &path]);
    assert_eq!((code, out.as_str()), (Some(2), ""), "{error}");
    let line = |name: &str| {
        error
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .to_owned()
    };
    assert!(line("i32le").ends_with("7 8 9 10 11"), "{error}");
    let near = |name: &str| {
        line(name)
            .split_whitespace()
            .nth(3)
            .unwrap()
            .parse::<u32>()
            .unwrap()
    };
    assert!(near("i32le") > 90 && near("i32be") < 10, "{error}");
    let bad = "time,op,key,size\n".to_owned() + &"1,get,a,1\n".repeat(50) + "1,fetch,b,1\n";
    let path = write(folder.path(), "bad.csv", bad.as_bytes());
    let (code, _, error) = run(folder.path(), &["replay", &path]);
    assert!(
        code == Some(3) && error.contains("the first is line 52: `1,fetch,b,1`"),
        "{code:?} {error}"
    );
    let path = write(
        folder.path(),
        "few.csv",
        (bad.clone() + &"2,get,a,1\n".repeat(100)).as_bytes(),
    );
    let (code, _, error) = run(folder.path(), &["replay", &path]);
    assert!(
        code == Some(0) && error.contains("1 lines could not be read"),
        "{code:?} {error}"
    );
    let path = write(folder.path(), "odd", &[1, 0, 0]);
    let (code, _, error) = run(folder.path(), &["replay", "--format", "i32le", &path]);
    assert!(
        code == Some(3) && error.contains("no multiple of 4"),
        "{code:?} {error}"
    );
    let path = write(folder.path(), "empty", b"# nothing\n");
    let (code, _, error) = run(folder.path(), &["replay", &path]);
    assert!(code == Some(3) && error.contains("no access"), "{code:?} {error}");
    let (code, _, error) = run(folder.path(), &["replay", "/nowhere/at/all"]);
    assert!(
        code == Some(5) && error.contains("/nowhere/at/all"),
        "{code:?} {error}"
    );
    let (code, _, error) = run(folder.path(), &["replay", folder.path().to_str().unwrap()]);
    assert!(code == Some(3) && error.contains("directory"), "{code:?} {error}");
    for writes in ["5", "101%", "-1%"] {
        let (code, _, error) = run(folder.path(), &["replay", "--writes", writes, &path]);
        assert!(
            code == Some(2) && !error.contains("entries from"),
            "{writes}: {error}"
        );
    }
    for capacity in ["0", "0%", "101%", "many"] {
        let (code, ..) = run(folder.path(), &["replay", "--capacity", capacity, &path]);
        assert_eq!(code, Some(2), "{capacity}");
    }
}

/// The same file gives the same figures, as a table, as JSON and as CSV, from a file and from standard input.
///
/// Contract: S139 (partial: entries), S140 (partial: simulated figures)
#[test]
fn figures_are_the_same_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = 1_u64;
    let keys: String = (0..20_000)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            format!("{}\n", (state >> 40) % (1 + (state >> 20) % 500))
        })
        .collect();
    let path = write(folder.path(), "keys", keys.as_bytes());
    let (_, first, _) = run(folder.path(), &["replay", "--csv", "--quiet", &path]);
    let simulated = first.lines().filter(|line| line.starts_with("simulated,"));
    assert_eq!(
        simulated.count(),
        3 * 8,
        "seven policies and the optimum at three capacities: {first}"
    );
    let mut child = larder(folder.path(), &["replay", "--csv", "--quiet", "-"]);
    let mut child = child
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(keys.as_bytes()).unwrap();
    let piped = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(piped.stdout).unwrap(), first);
    let (_, table, _) = run(folder.path(), &["replay", "--quiet", &path]);
    assert!(
        table.contains("doubling gains less than a point") && table.contains("AdaptiveTinyLfu"),
        "{table}"
    );
    let short = said(folder.path(), &[&path, "--first", "100"]);
    assert_eq!(short["accesses"], 100);
}

/// Rows of several types through real pools, each type its own, with writes mixed in by a seed: nothing that was read was stale.
///
/// Contract: S138 (partial: pools over SQLite), S140 (partial: driven figures)
#[test]
fn a_trace_is_driven_through_real_pools() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = 1_u64;
    let words: Vec<u8> = (0..6_000)
        .flat_map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let (kind, row) = (state >> 60 & 3, (state >> 33) % (1 + (state >> 20) % 200));
            u32::try_from(kind << 27 | row << 9 | 5).unwrap().to_be_bytes()
        })
        .collect();
    let path = write(folder.path(), "orm", &words);
    let orm = ["replay", "--format", "orm", "--capacity", "50%", "--quiet"];
    let run_with = |more: &[&str]| {
        let arguments: Vec<&str> = orm
            .iter()
            .copied()
            .chain(more.iter().copied())
            .chain([path.as_str()])
            .collect();
        run(folder.path(), &arguments)
    };
    let (code, out, error) = run_with(&["--writes", "5%", "--json"]);
    assert_eq!(code, Some(0), "{out}{error}");
    let driven = serde_json::from_str::<Value>(&out).unwrap()["driven"].clone();
    let number = |field: &str| driven[field].as_u64().unwrap();
    assert_eq!(
        (number("accesses"), number("pools"), number("stale")),
        (6_000, 4, 0),
        "{driven}"
    );
    let writes = number("writes");
    assert!(
        (200..400).contains(&writes) && number("checked") > writes,
        "{driven}"
    );
    let ratio = driven["hit_ratio"].as_f64().unwrap();
    assert!((0.3..1.0).contains(&ratio), "{driven}");
    for times in ["hit", "miss", "commit", "lag"] {
        assert!(
            driven[times]["p50"].as_f64().unwrap() <= driven[times]["p99"].as_f64().unwrap(),
            "{driven}"
        );
    }
    // One task, and so many accesses: the same each time.
    let once = || {
        let (_, out, _) = run_with(&["--drive", "--limit", "1000", "--threads", "1", "--json"]);
        let driven = serde_json::from_str::<Value>(&out).unwrap()["driven"].clone();
        (
            driven["accesses"].clone(),
            driven["writes"].clone(),
            driven["hit_ratio"].clone(),
        )
    };
    let first = once();
    assert_eq!((&first.0, &first.1), (&Value::from(1_000), &Value::from(0)));
    assert_eq!(once(), first);
    let (code, _, error) = run_with(&["--writes", "5"]);
    assert!(
        code == Some(2) && error.contains("percentage"),
        "{code:?} {error}"
    );
    let left: Vec<String> = super::left(folder.path());
    assert_eq!(left, ["orm"], "nothing is left behind");
}

/// Where reads were answered, a row for each that was named and no other, and how many writes were injected.
///
/// Contract: S138 (partial: tiers, rows, what is injected)
#[test]
fn a_drive_says_what_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = larder_testkit::Random::seeded(1);
    let mut word = || {
        let bound = 1 + random.below(200);
        u32::try_from(random.below(4) << 27 | random.below(bound) << 9 | random.below(9)).unwrap()
    };
    let words: Vec<u32> = (0..2_000).map(|_| word()).collect();
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
    let path = write(folder.path(), "orm", &bytes);
    let driven = said(folder.path(), &[&path, "--format", "orm", "--writes", "5%"])["driven"].clone();
    let tier = |at: usize| {
        (
            driven["tiers"][at]["tier"].as_str(),
            driven["tiers"][at]["ratio"].as_f64(),
        )
    };
    let ratio = driven["hit_ratio"].as_f64().unwrap();
    assert_eq!(tier(0), (Some("memory"), Some(ratio)));
    assert_eq!(tier(1).0, Some("database"));
    assert!((tier(1).1.unwrap() + ratio - 1.0).abs() < 1e-9, "{driven}");
    // The index is of a column.
    let named: std::collections::BTreeSet<u32> = words.iter().map(|word| word >> 9).collect();
    assert_eq!(driven["rows"], named.len());
    assert_eq!(
        driven["injected"], driven["writes"],
        "the trace has none of its own"
    );
    let arguments = ["replay", "--quiet", "--format", "orm", "--writes", "5%", &path];
    let (_, table, _) = run(folder.path(), &arguments);
    assert!(
        table.contains("  writes       0 of the trace, ") && table.contains(" injected from seed 1"),
        "{table}"
    );
    assert!(
        table.contains("  memory  ") && table.contains("  database  "),
        "{table}"
    );
}
