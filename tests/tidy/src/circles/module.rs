//! What one file says about its modules: what they define, take in, declare and name.

use std::collections::BTreeSet;

use crate::token::{self, Kind, Token};

/// A path as written: `["crate", "fleet", "State"]`.
pub(super) type Path<'a> = Vec<&'a str>;

/// A file's module, or one written within it.
#[derive(Default)]
pub(super) struct Module<'a> {
    /// The items that it defines. What a macro defines isn't seen.
    pub(super) items: BTreeSet<&'a str>,
    pub(super) imports: Vec<Import<'a>>,
    /// The modules that it declares in files of their own.
    pub(super) declared: Vec<Declaration<'a>>,
    /// The modules that are written within it.
    pub(super) inline: Vec<(&'a str, Module<'a>)>,
    /// The names and paths in its code, outside of imports.
    pub(super) mentions: Vec<Mention<'a>>,
}

/// One name that a `use` brings in.
pub(super) struct Import<'a> {
    pub(super) path: Path<'a>,
    pub(super) line: usize,
    pub(super) binding: Binding<'a>,
    /// Handed on by `pub use`, which by itself needs nothing of what it names.
    pub(super) is_public: bool,
}

/// As what an import is known.
pub(super) enum Binding<'a> {
    Name(&'a str),
    /// `use path::*`
    Glob,
}

/// `mod name;`
pub(super) struct Declaration<'a> {
    pub(super) name: &'a str,
    /// The value of `#[path = "…"]`.
    pub(super) path: Option<&'a str>,
}

/// A name or path in code.
pub(super) struct Mention<'a> {
    pub(super) path: Path<'a>,
    pub(super) line: usize,
    /// Followed by `!`.
    pub(super) is_macro: bool,
}

/// The module of a file with this text, without its tests.
pub(super) fn read(text: &str) -> Module<'_> {
    Reader { tokens: &token::read_shipped(text) }.module(&mut 0)
}

struct Reader<'t, 'a> {
    tokens: &'t [Token<'a>],
}

impl<'a> Reader<'_, 'a> {
    /// Reads up to the end of the file, or past the brace that closes an inline module.
    fn module(&self, at: &mut usize) -> Module<'a> {
        let mut module = Module::default();
        let mut depth = 0;
        while let Some(kind) = self.kind(*at) {
            match kind {
                Kind::Sign('}') if depth == 0 => {
                    *at += 1;
                    break;
                }
                Kind::Sign('{' | '(' | '[') => depth += 1,
                Kind::Sign('}' | ')' | ']') => depth -= 1,
                Kind::Name("use") if self.starts_import(*at) => {
                    self.import(at, &mut module);
                    continue;
                }
                Kind::Name("mod") if depth == 0 => {
                    self.child(at, &mut module);
                    continue;
                }
                Kind::Name(_) => {
                    if let (0, Some(name)) = (depth, self.defined(*at)) {
                        module.items.insert(name);
                    }
                    *at += self.mention(*at, &mut module);
                    continue;
                }
                Kind::Text(text) => module.mentions.extend(self.path_in_text(*at, text)),
                Kind::Separator | Kind::Sign(_) => {}
            }
            *at += 1;
        }
        module
    }

    fn kind(&self, at: usize) -> Option<Kind<'a>> {
        self.tokens.get(at).map(|token| token.kind)
    }

    fn name(&self, at: usize) -> Option<&'a str> {
        match self.kind(at)? {
            Kind::Name(name) => Some(name),
            Kind::Separator | Kind::Text(_) | Kind::Sign(_) => None,
        }
    }

    /// `use<'a>` in a type captures lifetimes and imports nothing.
    fn starts_import(&self, at: usize) -> bool {
        self.kind(at + 1) != Some(Kind::Sign('<'))
    }

    /// The name of the item that is defined where a keyword stands.
    fn defined(&self, at: usize) -> Option<&'a str> {
        match self.name(at)? {
            "static" if self.name(at + 1) == Some("mut") => self.name(at + 2),
            "fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static" => {
                self.name(at + 1)
            }
            "macro_rules" => self.name(at + 2),
            _ => None,
        }
    }

    /// `mod name;` or `mod name { … }`.
    fn child(&self, at: &mut usize, module: &mut Module<'a>) {
        let Some(name) = self.name(*at + 1) else {
            *at += 1;
            return;
        };
        if self.kind(*at + 2) == Some(Kind::Sign('{')) {
            *at += 3;
            let child = self.module(at);
            module.inline.push((name, child));
        } else {
            module.declared.push(Declaration { name, path: self.path_attribute(*at) });
            *at += 3;
        }
    }

    /// The value of a `#[path = "…"]` right before a declaration.
    fn path_attribute(&self, at: usize) -> Option<&'a str> {
        let close = (0..at).rev().find(|at| self.kind(*at) == Some(Kind::Sign(']')))?;
        let between = &self.tokens[close + 1..at];
        let is_next = between.len() <= 4
            && !between.iter().any(|t| matches!(t.kind, Kind::Sign(';' | '{' | '}')));
        match (self.name(close.checked_sub(3)?)?, self.kind(close - 1)?) {
            ("path", Kind::Text(path)) if is_next => Some(path),
            _ => None,
        }
    }

    /// A whole `use` with its semicolon.
    fn import(&self, at: &mut usize, module: &mut Module<'a>) {
        let is_public = match self.kind(at.wrapping_sub(1)) {
            Some(Kind::Name("pub")) => true,
            Some(Kind::Sign(')')) => {
                (2..6).any(|back| self.name(at.wrapping_sub(back)) == Some("pub"))
            }
            _ => false,
        };
        *at += 1;
        self.tree(at, &mut Vec::new(), is_public, module);
        while self.kind(*at).is_some_and(|kind| kind != Kind::Sign(';')) {
            *at += 1;
        }
        *at += 1;
    }

    /// One branch of a `use`: a path that ends in a name, a star or a group of branches.
    fn tree(&self, at: &mut usize, path: &mut Path<'a>, is_public: bool, module: &mut Module<'a>) {
        let length = path.len();
        let mut add = |path: &Path<'a>, line, binding| {
            module.imports.push(Import { path: path.clone(), line, binding, is_public });
        };
        while let Some(token) = self.tokens.get(*at) {
            match token.kind {
                Kind::Name("as") => {
                    let alias = self.name(*at + 1).unwrap_or("_");
                    add(path, token.line, Binding::Name(alias));
                    *at += 2;
                    break;
                }
                Kind::Name("self") if !path.is_empty() => {}
                Kind::Name(name) => path.push(name),
                Kind::Sign('*') => {
                    add(path, token.line, Binding::Glob);
                    *at += 1;
                    break;
                }
                Kind::Sign('{') => {
                    *at += 1;
                    while self.kind(*at).is_some_and(|kind| kind != Kind::Sign('}')) {
                        self.tree(at, path, is_public, module);
                        if self.kind(*at) == Some(Kind::Sign(',')) {
                            *at += 1;
                        }
                    }
                    *at += 1;
                    break;
                }
                Kind::Sign(',' | '}' | ';') => {
                    if let Some(name) = path.last() {
                        add(path, token.line, Binding::Name(name));
                    }
                    break;
                }
                Kind::Separator | Kind::Text(_) | Kind::Sign(_) => {}
            }
            *at += 1;
        }
        path.truncate(length);
    }

    /// Notes the name or path that starts here; how many tokens it takes.
    fn mention(&self, at: usize, module: &mut Module<'a>) -> usize {
        let mut path: Path<'a> = self.name(at).into_iter().collect();
        let mut end = at + 1;
        while let (Some(Kind::Separator), Some(name)) = (self.kind(end), self.name(end + 1)) {
            path.push(name);
            end += 2;
        }
        // A method, a field, or the rest of a path whose start no name is.
        let continues =
            matches!(self.kind(at.wrapping_sub(1)), Some(Kind::Separator | Kind::Sign('.')))
                && self.kind(at.wrapping_sub(2)) != Some(Kind::Sign('.'));
        let is_macro = self.kind(end) == Some(Kind::Sign('!'));
        if !continues && (path.len() > 1 || is_macro || self.stands_for_an_item(at)) {
            module.mentions.push(Mention { path, line: self.tokens[at].line, is_macro });
        }
        end - at
    }

    /// Whether a name on its own is likely an item and no variable: it is written as a type or
    /// constant, or it is called.
    fn stands_for_an_item(&self, at: usize) -> bool {
        self.name(at).is_some_and(|name| name.starts_with(char::is_uppercase))
            || self.kind(at + 1) == Some(Kind::Sign('('))
    }

    /// A path in an attribute's string, as in `#[serde(with = "crate::seconds")]`.
    fn path_in_text(&self, at: usize, text: &'a str) -> Option<Mention<'a>> {
        let is_value = self.kind(at.wrapping_sub(1)) == Some(Kind::Sign('='));
        let is_path = text.contains("::")
            && text.chars().all(|next| next.is_alphanumeric() || next == '_' || next == ':');
        (is_value && is_path).then(|| Mention {
            path: text.split("::").collect(),
            line: self.tokens[at].line,
            is_macro: false,
        })
    }
}
