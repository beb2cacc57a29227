//! The files of the repository as text, and how a broken rule is reported.

use std::fmt::Write;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

/// All files that git would not ignore.
pub(crate) struct Tree {
    root: PathBuf,
    files: Vec<File>,
}

/// One text file.
pub(crate) struct File {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// The tree this test was built from.
pub(crate) fn tree() -> &'static Tree {
    static TREE: LazyLock<Tree> = LazyLock::new(Tree::read);
    &TREE
}

impl Tree {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned();
        // Without git (an unpacked archive) the ignore files count as well.
        let walk = ignore::WalkBuilder::new(&root)
            .hidden(false)
            .require_git(false)
            .filter_entry(|entry| entry.file_name() != ".git")
            .build();
        let mut files = Vec::new();
        for entry in walk.map(Result::unwrap).filter(|e| e.file_type().is_some_and(|t| t.is_file()))
        {
            // What is not text, such as a model, has no rules here.
            let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
            let path = entry.path().strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            files.push(File { path, text });
        }
        assert!(files.len() > 20, "only {} files found under {}", files.len(), root.display());
        Self { root, files }
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files().filter(|file| file.path.ends_with(".rs"))
    }

    /// The text of a file that has to be there.
    pub(crate) fn text(&self, path: &str) -> &str {
        let found = self.files().find(|file| file.path == path);
        &found.unwrap_or_else(|| panic!("no file {path}")).text
    }

    /// Whether a file or folder of this path is there.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }
}

impl File {
    /// Whether the whole file is a test: it lies in a `tests` or `benches` folder, or is a test
    /// module of its own.
    pub(crate) fn is_test(&self) -> bool {
        let path = &self.path;
        path.split('/').any(|part| part == "tests" || part == "benches")
            || path.ends_with("/tests.rs")
            || path.ends_with("_tests.rs")
    }

    /// Whether a library or program is built of this file: it isn't a test, an example or a
    /// benchmark.
    pub(crate) fn is_shipped(&self) -> bool {
        let within = self.path.split_once("src/").map(|(_, within)| within);
        self.path.ends_with(".rs")
            && within.is_some_and(|within| {
                !within.ends_with("_tests.rs")
                    && !within.split('/').any(|name| name == "tests.rs" || name == "tests")
            })
    }

    /// Numbered lines.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }

    /// Numbered lines of Rust, without comments and without the test module at the end.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = self.text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        (1..).zip(self.text[..end].lines()).filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// The path, from the root, of a file named relative to this one.
    pub(crate) fn sibling(&self, relative: &str) -> String {
        let folder = Path::new(&self.path).parent().unwrap_or(Path::new(""));
        let mut path = PathBuf::new();
        for part in folder.join(relative).components() {
            match part {
                Component::ParentDir => {
                    path.pop();
                }
                Component::Normal(name) => path.push(name),
                Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
            }
        }
        path.to_str().unwrap().to_owned()
    }
}

/// Whether `name` stands in the line as a name of its own and not as the end of a longer one.
pub(crate) fn names(line: &str, name: &str) -> bool {
    let part_of_name = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(name).any(|(at, _)| {
        let free_before = !name.starts_with(part_of_name) || !line[..at].ends_with(part_of_name);
        let rest = &line[at + name.len()..];
        free_before && !(name.ends_with(part_of_name) && rest.starts_with(part_of_name))
    })
}

/// A rule, and where it is broken.
pub(crate) struct Rule {
    reason: &'static str,
    remedy: &'static str,
    places: Vec<String>,
}

impl Rule {
    pub(crate) fn new(reason: &'static str, remedy: &'static str) -> Self {
        Self { reason, remedy, places: Vec::new() }
    }

    /// The rule is broken at this line.
    pub(crate) fn broken(&mut self, file: &File, line: usize, what: &str) {
        self.places.push(format!("{}:{line}: {what}", file.path));
    }

    /// The rule is broken, and no line of a file says where.
    pub(crate) fn note(&mut self, what: &str) {
        self.places.push(what.to_owned());
    }

    /// The rule is broken wherever the file's code has this name.
    pub(crate) fn forbid(&mut self, file: &File, name: &str, why: &str) {
        for (number, _) in file.code().filter(|(_, line)| names(line, name)) {
            self.broken(file, number, &format!("`{name}` {why}"));
        }
    }

    /// Fails the test if the rule is broken anywhere.
    pub(crate) fn check(self) {
        let mut message = String::new();
        for place in &self.places {
            writeln!(message, "  {place}").unwrap();
        }
        assert!(
            self.places.is_empty(),
            "\n{message}\nWhy: {}\nInstead: {}\n",
            self.reason,
            self.remedy
        );
    }
}
