//! Every Rust file is compiled: reachable by `mod` from a root that cargo knows.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let crates: Vec<&str> = tree.crates().map(|(folder, _)| folder).collect();
    let mut reached = BTreeSet::new();
    for (path, _) in tree.ending(&[".rs"]) {
        if crates.iter().any(|folder| is_root(folder, path)) {
            walk(tree, path, true, &mut reached);
        }
    }
    tree.ending(&[".rs"])
        .filter(|(path, _)| {
            crates
                .iter()
                .any(|folder| path.starts_with(&format!("{folder}/")))
        })
        .filter(|(path, _)| {
            let as_root_or_module = |beside| reached.contains(&((*path).to_owned(), beside));
            ![true, false].into_iter().any(as_root_or_module)
        })
        .map(|(path, _)| Finding::error(path, None, "no `mod` leads here"))
        .collect()
}

/// Whether cargo compiles `path` without being told to, in the crate of `folder`.
fn is_root(folder: &str, path: &str) -> bool {
    let Some(inside) = path
        .strip_prefix(folder)
        .and_then(|rest| rest.strip_prefix('/'))
    else {
        return false;
    };
    let parts: Vec<&str> = inside.split('/').collect();
    let whole_folder = |name: &str| matches!(name, "tests" | "benches" | "examples");
    match parts.as_slice() {
        ["build.rs"] | ["src", "lib.rs" | "main.rs"] | ["src", "bin", _] => true,
        ["src", "bin", _, "main.rs"] => true,
        [first, _] | [first, _, "main.rs"] => whole_folder(first),
        _ => false,
    }
}

/// Marks `path` and all it names; `beside` says that its modules lie beside it. A file in `tests` may
/// be both a root of its own and a module of another, so it is marked for either.
fn walk(tree: &Tree, path: &str, beside: bool, reached: &mut BTreeSet<(String, bool)>) {
    let Some(text) = tree.text(path) else { return };
    if !reached.insert((path.to_owned(), beside)) {
        return;
    }
    for places in targets(path, text, beside) {
        if let Some(found) = places
            .iter()
            .find(|candidate| tree.text(candidate).is_some())
        {
            walk(tree, found, keeps_modules_beside(found), reached);
        }
    }
}

/// Whether a file's modules lie beside it, not in a folder of its name.
fn keeps_modules_beside(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    matches!(name, "lib.rs" | "main.rs" | "mod.rs" | "build.rs")
}

/// For each file that `text` names, the places where it may lie.
fn targets(path: &str, text: &str, beside: bool) -> Vec<Vec<String>> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let own = if beside {
        folder.to_owned()
    } else {
        path.trim_end_matches(".rs").to_owned()
    };
    let mut named_path = None;
    let mut targets = Vec::new();
    for line in text.lines().map(str::trim) {
        if let Some(file) = quoted_after(line, "#[path = ") {
            named_path = Some(file);
        } else if let Some(file) = quoted_after(line, "include!(") {
            targets.push(vec![format!("{folder}/{file}")]);
        } else if let Some(name) = module_declared(line) {
            targets.push(match named_path.take() {
                Some(file) => vec![format!("{folder}/{file}")],
                None => vec![format!("{own}/{name}.rs"), format!("{own}/{name}/mod.rs")],
            });
        }
    }
    targets
}

fn quoted_after<'t>(line: &'t str, marker: &str) -> Option<&'t str> {
    let rest = &line[line.find(marker)? + marker.len()..];
    rest.strip_prefix('"')?.split('"').next()
}

/// The name in `mod name;`, whatever its visibility.
fn module_declared(line: &str) -> Option<&str> {
    let line = line.strip_suffix(';')?;
    let (before, name) = line.rsplit_once(' ')?;
    let declares = before == "mod" || (before.starts_with("pub") && before.ends_with(" mod"));
    declares.then_some(name)
}
