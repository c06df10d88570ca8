//! Which crate may stand on which: the table of `docs/design.md`, section 2.
//!
//! Four siblings stand on core, meet in the facade, and the server stands on the facade, and on the policies that it simulates. The testkit stands on the parts, so
//! they use it for their tests only. A crate that the table does not know is a fault: the table is where it is decided.

use crate::tree::Tree;

const TESTKIT: &str = "larder-testkit";

/// Each crate with those it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("larder-core", &[]),
    ("larder-memory", &["larder-core"]),
    ("larder-derive", &[]),
    ("larder-pool", &["larder-core", "larder-memory", "larder-derive"]),
    ("larder-cache", &["larder-core", "larder-memory"]),
    ("larder-outbox", &["larder-core"]),
    ("larder-eventlog", &["larder-core"]),
    (
        "larder",
        &[
            "larder-core",
            "larder-pool",
            "larder-cache",
            "larder-outbox",
            "larder-eventlog",
        ],
    ),
    ("larder-server", &["larder", "larder-memory"]),
    (
        TESTKIT,
        &[
            "larder-core",
            "larder-pool",
            "larder-cache",
            "larder-outbox",
            "larder-eventlog",
            "larder",
            "larder",
            "larder-server",
        ],
    ),
];

/// Dependencies between crates follow the table. A package below a crate's `tests/` plays a user of that crate: it may
/// depend on this crate alone, under whatever name.
pub(super) fn crates(tree: &Tree, faults: &mut Vec<String>) {
    for (path, text) in tree.below("crates/", "/Cargo.toml") {
        let name = path.trim_start_matches("crates/").trim_end_matches("/Cargo.toml");
        if let Some((tested, _)) = name.split_once("/tests/") {
            let others = dependencies(text)
                .map(|dependency| dependency.name)
                .filter(|name| name.starts_with("larder") && *name != tested);
            faults.extend(others.map(|other| {
                format!("{path}: a user of `{tested}` in its tests may not depend on `{other}`")
            }));
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
            faults.push(format!("{path}: `{name}` is not in the table of allowed arrows"));
            continue;
        };
        for dependency in
            dependencies(text).filter(|found| found.name.starts_with("larder") || found.name == "xtask")
        {
            let for_tests =
                dependency.section == "dev-dependencies" && dependency.name == TESTKIT && name != TESTKIT;
            if !allowed.contains(&dependency.name) && !for_tests {
                faults.push(format!(
                    "{path}: `{name}` may not depend on `{}` ({})",
                    dependency.name, dependency.section
                ));
            }
        }
    }
}

/// Chores have no dependencies and are not built by default; the toolchain is the user's choice.
pub(super) fn workspace(tree: &Tree, faults: &mut Vec<String>) {
    if let Some(dependency) = tree
        .text("xtask/Cargo.toml")
        .into_iter()
        .flat_map(dependencies)
        .next()
    {
        faults.push(format!(
            "xtask/Cargo.toml: xtask has no dependencies, not even `{}`",
            dependency.name
        ));
    }
    let root = tree.text("Cargo.toml").unwrap_or_default();
    let mut lines = root.lines();
    let members = lines.find_map(|line| line.strip_prefix("default-members"));
    match members {
        None => faults.push(
            "Cargo.toml: default-members are missing, so that everything is built by default".to_owned(),
        ),
        Some(members) => {
            if members.contains("xtask") {
                faults.push("Cargo.toml: default-members hold xtask".to_owned());
            }
            for name in tree
                .crates()
                .into_iter()
                .filter(|name| !members.contains(&format!("crates/{name}\"")))
            {
                faults.push(format!("Cargo.toml: default-members lack crates/{name}"));
            }
        }
    }
    for path in ["rust-toolchain", "rust-toolchain.toml"]
        .into_iter()
        .filter(|path| tree.has(path))
    {
        faults.push(format!(
            "{path}: nothing here needs a certain toolchain beyond rust-version"
        ));
    }
    for folder in ["bench", "fuzz"].into_iter().filter(|folder| tree.has(folder)) {
        let manifest = tree.text(&format!("{folder}/Cargo.toml")).unwrap_or_default();
        if !manifest.lines().any(|line| line.trim() == "[workspace]") {
            faults.push(format!("{folder}/Cargo.toml: it must be a workspace of its own"));
        }
        if !tree.has(&format!("{folder}/Cargo.lock")) {
            faults.push(format!(
                "{folder}/Cargo.lock: a workspace of its own pins its own versions"
            ));
        }
    }
}

/// One line of a dependency table.
struct Dependency<'a> {
    name: &'a str,
    /// `dependencies`, `dev-dependencies` or `build-dependencies`, for whatever target.
    section: &'a str,
}

/// The dependencies of a manifest, for every target. The crate's own name counts, `package = "…"` on the same line, not the
/// name that it is given.
fn dependencies(manifest: &str) -> impl Iterator<Item = Dependency<'_>> {
    let mut section = "";
    manifest.lines().filter_map(move |line| {
        let line = line.trim();
        if let Some(heading) = line.strip_prefix('[') {
            let heading = heading.trim_end_matches(']');
            let kind = |text: &str| text.ends_with("dependencies");
            // `[dependencies.name]` is a dependency by itself; the lines below it are its details.
            if let Some((table, name)) = heading.rsplit_once('.').filter(|(table, _)| kind(table)) {
                section = "";
                return Some(Dependency {
                    name,
                    section: table.rsplit('.').next().unwrap_or(table),
                });
            }
            section = if kind(heading) {
                heading.rsplit('.').next().unwrap_or(heading)
            } else {
                ""
            };
            return None;
        }
        let renamed = line
            .split_once("package = \"")
            .and_then(|(_, rest)| rest.split('"').next());
        let name = renamed
            .or_else(|| line.split(['=', '.']).next())
            .map(str::trim)
            .filter(|name| !name.is_empty())?;
        (!section.is_empty() && !line.starts_with('#')).then_some(Dependency { name, section })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::said;

    #[test]
    fn arrows_follow_the_table() {
        let tree = Tree::of(&[
            (
                "crates/larder-core/Cargo.toml",
                "[dependencies]\nthiserror = \"2\"\n[dev-dependencies]\nlarder-testkit.workspace = true\n",
            ),
            (
                "crates/larder-pool/Cargo.toml",
                "[dependencies]\nlarder-core.workspace = true\nlarder-cache = { path = \"x\" }\n",
            ),
            (
                "crates/larder-cache/Cargo.toml",
                "[target.'cfg(unix)'.dependencies]\nlarder-testkit.workspace = true\n",
            ),
            (
                "crates/larder-outbox/Cargo.toml",
                "[dependencies.larder]\nworkspace = true\n",
            ),
            ("crates/larder-extra/Cargo.toml", ""),
            (
                "crates/larder-pool/tests/renamed/Cargo.toml",
                "[dependencies]\nshelf = { package = \"larder-pool\", path = \"../..\" }\nlarder-core.workspace = true\n",
            ),
        ]);
        let expected = [
            "crates/larder-cache/Cargo.toml: `larder-cache` may not depend on `larder-testkit` (dependencies)",
            "crates/larder-extra/Cargo.toml: `larder-extra` is not in the table of allowed arrows",
            "crates/larder-outbox/Cargo.toml: `larder-outbox` may not depend on `larder` (dependencies)",
            "crates/larder-pool/Cargo.toml: `larder-pool` may not depend on `larder-cache` (dependencies)",
            "crates/larder-pool/tests/renamed/Cargo.toml: a user of `larder-pool` in its tests may not depend on `larder-core`",
        ];
        assert_eq!(said(crates, &tree), expected);
    }

    #[test]
    fn the_workspace_keeps_its_shape() {
        let good = "[workspace]\ndefault-members = [\"crates/larder\"]\n";
        let tree = Tree::of(&[
            ("Cargo.toml", good),
            ("crates/larder/Cargo.toml", ""),
            ("xtask/Cargo.toml", "[lints]\nworkspace = true\n"),
        ]);
        assert_eq!(said(workspace, &tree), Vec::<String>::new());
        let tree = Tree::of(&[
            ("Cargo.toml", "default-members = [\"xtask\"]\n"),
            ("crates/larder/Cargo.toml", ""),
            ("xtask/Cargo.toml", "[dependencies]\nanyhow = \"1\"\n"),
            ("rust-toolchain.toml", ""),
            ("bench/Cargo.toml", "[package]\n"),
        ]);
        let expected = [
            "xtask/Cargo.toml: xtask has no dependencies, not even `anyhow`",
            "Cargo.toml: default-members hold xtask",
            "Cargo.toml: default-members lack crates/larder",
            "rust-toolchain.toml: nothing here needs a certain toolchain beyond rust-version",
            "bench/Cargo.toml: it must be a workspace of its own",
            "bench/Cargo.lock: a workspace of its own pins its own versions",
        ];
        assert_eq!(said(workspace, &tree), expected);
    }
}
