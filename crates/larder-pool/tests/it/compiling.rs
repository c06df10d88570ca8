//! What compiles and what does not, tried with the compiler; and that the target is looked at in one file only.

mod compiler;

use std::fs;
use std::path::Path;

use larder_pool::{MaybeSend, MaybeSync};

use compiler::{Compiler, Fault, PACKAGE};

/// The crate builds without default features, and each file of `tests/derive` is refused at the places and with the words
/// that its marks show; one without marks compiles. (Regression 24.)
///
/// Contract: P10 (partial: as the compiler tells it, a watermark that does not fit among it), P20 (partial: whose reasons)
#[test]
fn the_compiler_points_at_what_is_wrong() {
    let compiler = Compiler::without_default_features();
    let mut files: Vec<_> = fs::read_dir(Path::new(PACKAGE).join("tests/derive"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut places = 0;
    for file in &files {
        let source = fs::read_to_string(file).unwrap();
        let expected = Fault::marked(&source);
        places += expected.len();
        assert_eq!(compiler.faults(file), expected, "{}", file.display());
    }
    assert_eq!((files.len(), places), (6, 23));
}

/// Contract: P114 (partial: one small module looks at the target)
#[test]
fn the_target_is_looked_at_in_one_file() {
    let mut looking = Vec::new();
    let mut folders = vec![Path::new(PACKAGE).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let words = ["target_", "cfg(unix", "cfg(windows", "wasm32\")"];
            if words.iter().any(|word| text.contains(word)) {
                looking.push((path, text.lines().count()));
            }
        }
    }
    let [(path, lines)] = looking.as_slice() else {
        panic!("not one file: {looking:?}")
    };
    assert!(path.ends_with("src/maybe.rs"), "{path:?}");
    assert!(*lines <= 50, "small: {lines} lines");
}

/// Contract: P114 (partial: natively the bounds are those of threads)
#[test]
fn natively_entities_cross_threads() {
    fn crosses<T: MaybeSend + MaybeSync + ?Sized>(value: &T) -> bool {
        std::thread::scope(|scope| scope.spawn(|| sent(value)).join().unwrap())
    }
    fn sent<T: ?Sized>(_: &T) -> bool {
        true
    }
    assert!(crosses("text"));
}
