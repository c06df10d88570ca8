//! Mutations: patches in `mutations/` that break the code on purpose, each with the test that must notice.
//!
//! The header stands before the diff, a line a field: `# id:`, `# breaks:` (arguments of `cargo test`), `# why:`, and where
//! needed `# cfg:` and `# clause:`. This reads patches; [`crate::mutate`] tries them.

use crate::contract::ClauseId;
use crate::tree::Tree;

const FOLDER: &str = "mutations/";

/// The flags under which a test may be built: each has its own target directory.
pub(crate) const CFGS: [&str; 2] = ["larder_shuttle", "larder_loom"];

/// One patch and what it claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mutation {
    /// The name of the file without its ending.
    pub(crate) id: String,
    /// The file, from the root.
    pub(crate) path: String,
    /// The arguments of `cargo test` that run the test which must fail.
    pub(crate) breaks: Vec<String>,
    /// What the patch takes away, and why that is wrong.
    pub(crate) why: String,
    /// The flag that the test is built with.
    pub(crate) cfg: Option<&'static str>,
    /// The clauses that the test proves.
    pub(crate) clauses: Vec<ClauseId>,
    /// The files that the patch changes, which must be there.
    pub(crate) files: Vec<String>,
    /// The files that it adds.
    pub(crate) added: Vec<String>,
}

/// All mutations, in order of their ids; what is wrong with a patch is a fault, and the patch is left out.
pub(crate) fn mutations(tree: &Tree, faults: &mut Vec<String>) -> Vec<Mutation> {
    let mut found = Vec::new();
    for (path, text) in tree.below(FOLDER, "") {
        let Some(id) = path
            .strip_prefix(FOLDER)
            .and_then(|name| name.strip_suffix(".patch"))
        else {
            if !path.ends_with(".md") {
                faults.push(format!("{path}: only patches and their README belong here"));
            }
            continue;
        };
        match parse(id, path, text) {
            Ok(mutation) => found.push(mutation),
            Err(fault) => faults.push(format!("{path}: {fault}")),
        }
    }
    found
}

/// What can be seen wrong with a mutation without applying it: a file or a test that is not there, a clause that is none.
pub(crate) fn check(
    mutation: &Mutation,
    tree: &Tree,
    known: impl Fn(ClauseId) -> bool,
    faults: &mut Vec<String>,
) {
    for file in mutation.files.iter().filter(|file| !tree.has(file)) {
        faults.push(format!(
            "{}: it changes `{file}`, which is not there",
            mutation.path
        ));
    }
    let patch = tree.text(&mutation.path).unwrap_or_default();
    for (file, before) in hunks(patch) {
        if tree.text(file).is_some_and(|text| !text.contains(&before)) {
            faults.push(format!(
                "{}: it does not apply: what it changes in `{file}` is not there any more",
                mutation.path
            ));
        }
    }
    for clause in mutation.clauses.iter().filter(|clause| !known(**clause)) {
        faults.push(format!(
            "{}: it names {clause}, which is no clause",
            mutation.path
        ));
    }
    let filter = mutation.test_filter();
    let name = filter.and_then(|filter| filter.rsplit("::").next());
    let there = name.is_some_and(|name| {
        let head = format!("fn {name}");
        tree.below("crates/", ".rs").any(|(_, text)| text.contains(&head))
    });
    if !there {
        let given = filter.unwrap_or("nothing");
        faults.push(format!(
            "{}: it must be caught by `{given}`, which is no test",
            mutation.path
        ));
    }
}

/// What each hunk of a patch finds in which file.
fn hunks(patch: &str) -> Vec<(&str, String)> {
    let mut hunks: Vec<(&str, String)> = Vec::new();
    let (mut file, mut is_hunk) = ("", false);
    for line in patch.lines() {
        if let Some(path) = line.strip_prefix("--- a/") {
            file = path.split('\t').next().unwrap_or_default();
            is_hunk = false;
        } else if line.starts_with("@@ ") {
            hunks.push((file, String::new()));
            is_hunk = true;
        } else if line.starts_with("diff ") {
            is_hunk = false;
        } else if let (true, Some((_, before))) = (is_hunk, hunks.last_mut()) {
            // An editor may have cut the blank that stands before an empty line.
            let kept = line.strip_prefix(' ').or(line.strip_prefix('-'));
            if let Some(kept) = kept.or(line.is_empty().then_some(line)) {
                before.push_str(kept);
                before.push('\n');
            }
        }
    }
    hunks
}

impl Mutation {
    /// The filter that names the test: the last argument that is neither an option nor the value of one.
    fn test_filter(&self) -> Option<&str> {
        let mut filter = None;
        let mut after_option = false;
        for argument in self.breaks.iter().take_while(|argument| *argument != "--") {
            let option = argument.starts_with('-');
            if !option && !after_option {
                filter = Some(argument.as_str());
            }
            after_option = option && !matches!(argument.as_str(), "--lib" | "--doc" | "--release");
        }
        filter
    }
}

fn parse(id: &str, path: &str, text: &str) -> Result<Mutation, String> {
    let mut fields: Vec<(&str, &str)> = Vec::new();
    for line in text
        .lines()
        .take_while(|line| line.starts_with('#') || line.is_empty())
    {
        let field = line.trim_start_matches('#').split_once(':');
        match field.map(|(name, value)| (name.trim(), value.trim())) {
            Some((name @ ("id" | "breaks" | "why" | "cfg" | "clause"), value)) => fields.push((name, value)),
            // A long reason goes on in the next comment line.
            _ if line.is_empty() || fields.last().is_some_and(|(name, _)| *name == "why") => {}
            _ => return Err(format!("`{line}` is no header field")),
        }
    }
    let field = |wanted: &str| {
        fields
            .iter()
            .find(|(name, value)| *name == wanted && !value.is_empty())
            .map(|(_, v)| *v)
    };
    let needed = |wanted: &str| field(wanted).ok_or_else(|| format!("the header lacks `# {wanted}:`"));
    if needed("id")? != id {
        return Err(format!("its id must be `{id}`, as its file is named"));
    }
    let cfg = match field("cfg") {
        None => None,
        Some(given) => Some(
            *CFGS
                .iter()
                .find(|cfg| **cfg == given)
                .ok_or_else(|| format!("`{given}` is no cfg"))?,
        ),
    };
    let ids = field("clause").into_iter().flat_map(|list| list.split(','));
    let clauses = ids.map(|id| ClauseId::parse(id.trim()).ok_or_else(|| format!("`{id}` is no clause id")));
    let clauses = clauses.collect::<Result<_, _>>()?;
    let named = |mark: &str| -> Vec<String> {
        let paths = text
            .lines()
            .filter_map(|line| line.strip_prefix(mark)?.split('\t').next());
        paths.map(str::to_owned).collect()
    };
    let (files, after) = (named("--- a/"), named("+++ b/"));
    let added = after.into_iter().filter(|path| !files.contains(path)).collect();
    if files.is_empty() {
        return Err("it changes no file".to_owned());
    }
    let breaks = needed("breaks")?.split_whitespace().map(str::to_owned).collect();
    Ok(Mutation {
        id: id.to_owned(),
        path: path.to_owned(),
        breaks,
        why: needed("why")?.to_owned(),
        cfg,
        clauses,
        files,
        added,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# id: late\n# breaks: -p larder-core --test model m1_reads\n# why: the ring is read too late\n#   by one line\n# cfg: larder_shuttle\n# clause: F3\n\n--- a/crates/core/src/fence.rs\n+++ b/crates/core/src/fence.rs\n@@ -1 +1 @@\n-a\n+b\n";

    fn faults_of(patch: &str, source: &str) -> Vec<String> {
        let tree = Tree::of(&[
            ("mutations/late.patch", patch),
            ("crates/core/src/fence.rs", source),
        ]);
        let mut faults = Vec::new();
        for mutation in mutations(&tree, &mut faults) {
            check(
                &mutation,
                &tree,
                |id| Some(id) == ClauseId::parse("F3"),
                &mut faults,
            );
        }
        faults
    }

    #[test]
    fn a_header_is_read() {
        let mutation = parse("late", "mutations/late.patch", GOOD).expect("it is well formed");
        assert_eq!(
            mutation.breaks,
            ["-p", "larder-core", "--test", "model", "m1_reads"]
        );
        assert_eq!(mutation.test_filter(), Some("m1_reads"));
        assert_eq!(mutation.cfg, Some("larder_shuttle"));
        assert_eq!(mutation.files, ["crates/core/src/fence.rs"]);
        assert_eq!(faults_of(GOOD, "a\nfn m1_reads() {}"), Vec::<String>::new());
    }

    #[test]
    fn a_patch_must_apply() {
        let moved = "mutations/late.patch: it does not apply: what it changes in `crates/core/src/fence.rs` is not there any more";
        assert_eq!(faults_of(GOOD, "c\nfn m1_reads() {}"), [moved]);
        let longer = GOOD.replace("-a\n", " // before\n-a\n\n");
        assert_eq!(
            faults_of(&longer, "// before\na\n\nfn m1_reads() {}"),
            Vec::<String>::new()
        );
        assert_eq!(faults_of(&longer, "a\n\nfn m1_reads() {}"), [moved]);
    }

    #[test]
    fn each_fault_is_named() {
        let cases = [
            (GOOD.replace("# id: late\n", ""), "the header lacks `# id:`"),
            (
                GOOD.replace("id: late", "id: early"),
                "its id must be `late`, as its file is named",
            ),
            (
                GOOD.replace("# why: the ring is read too late\n#   by one line\n", ""),
                "the header lacks `# why:`",
            ),
            (
                GOOD.replace("larder_shuttle", "larder_loam"),
                "`larder_loam` is no cfg",
            ),
            (
                GOOD.replace("# clause: F3", "# clause: F4"),
                "it names F4, which is no clause",
            ),
            (
                GOOD.replace("# clause: F3", "# author: x"),
                "`# author: x` is no header field",
            ),
            (
                GOOD.replace("fence.rs", "fences.rs"),
                "it changes `crates/core/src/fences.rs`, which is not there",
            ),
            (
                GOOD.replace("m1_reads", "m9"),
                "it must be caught by `m9`, which is no test",
            ),
            (
                GOOD.replace("m1_reads", ""),
                "it must be caught by `nothing`, which is no test",
            ),
            (
                GOOD.split("---").next().unwrap_or_default().to_owned(),
                "it changes no file",
            ),
        ];
        for (patch, expected) in cases {
            assert_eq!(
                faults_of(&patch, "a\nfn m1_reads() {}"),
                [format!("mutations/late.patch: {expected}")]
            );
        }
    }
}
