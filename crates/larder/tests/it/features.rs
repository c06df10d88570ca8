//! The features of the facade, as its manifest says them: which are on by default, and that those of the parts pass through.

const FACADE: &str = include_str!("../../Cargo.toml");
const CORE: &str = include_str!("../../../larder-core/Cargo.toml");
const POOL: &str = include_str!("../../../larder-pool/Cargo.toml");
const OUTBOX: &str = include_str!("../../../larder-outbox/Cargo.toml");

/// Each feature with what it brings; a manifest has one a line.
fn features(manifest: &str) -> Vec<(&str, Vec<&str>)> {
    let lines = manifest.lines().skip_while(|line| *line != "[features]").skip(1);
    let section = lines.take_while(|line| !line.starts_with('['));
    let features = section.filter_map(|line| line.split_once(" = "));
    features
        .map(|(name, list)| (name, list.split('"').skip(1).step_by(2).collect()))
        .collect()
}

/// A part's features pass through under their own names, those of databases as `outbox-…`, each of which brings the outbox; what is on by default is
/// what the contract says.
///
/// Contract: S2 (partial: names and defaults, of the parts there are)
#[test]
fn the_features_of_parts_pass_through() {
    let facade = features(FACADE);
    let brings = |name: &str, what: &str| {
        let found = facade.iter().find(|(facade, _)| *facade == name);
        found.is_some_and(|(_, brought)| brought.iter().any(|brought| brought.replace('?', "") == what))
    };
    let mut passed = 0;
    for (part, manifest) in [("core", CORE), ("pool", POOL), ("outbox", OUTBOX)] {
        for (feature, _) in features(manifest) {
            if feature == "default" {
                continue;
            }
            let name = match part {
                "outbox" => format!("outbox-{feature}"),
                _ => feature.to_owned(),
            };
            assert!(
                brings(&name, &format!("larder-{part}/{feature}")),
                "{part}: {feature}"
            );
            passed += 1;
        }
    }
    assert!(passed >= 8, "only {passed} were found");
    for (name, _) in facade.iter().filter(|(name, _)| name.starts_with("outbox-")) {
        assert!(brings(name, "outbox"), "{name}");
        assert!(!brings("default", name) || *name == "outbox-sqlite", "{name}");
    }
    for part in ["pool", "cache", "eventlog", "outbox-sqlite"] {
        let is_there = facade.iter().any(|(name, _)| *name == part);
        assert_eq!(brings("default", part), is_there, "{part}");
    }
    for opt_in in ["outbox-postgres", "redis", "nats", "object-store"] {
        assert!(!brings("default", opt_in), "{opt_in}");
    }
}
