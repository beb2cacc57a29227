//! Rust source as tokens, as far as names, paths and blocks need them.
//!
//! Comments, numbers, lifetimes and character literals say nothing about names and are left out.

/// A token and the line it stands in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind<'a>,
    pub(crate) line: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    /// An identifier or a keyword.
    Name(&'a str),
    /// `::`
    Separator,
    /// The inside of a string literal.
    Text(&'a str),
    /// Any other character.
    Sign(char),
}

/// The tokens of a file.
pub(crate) fn read(text: &str) -> Vec<Token<'_>> {
    Reader { text, at: 0, line: 1 }.collect()
}

/// The tokens of a file without what only a test build compiles.
pub(crate) fn read_shipped(text: &str) -> Vec<Token<'_>> {
    without_tests(&read(text))
}

/// Yields one token after the other.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Iterator for Reader<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let rest = &self.text[self.at..];
            let line = self.line;
            let token = |kind| Some(Token { kind, line });
            let first = rest.chars().next()?;
            if first.is_whitespace() {
                self.skip(first.len_utf8());
            } else if rest.starts_with("//") {
                self.skip(rest.find('\n').unwrap_or(rest.len()));
            } else if rest.starts_with("/*") {
                self.skip(comment_length(rest));
            } else if let Some((start, end, length)) = string(rest) {
                self.skip(length);
                return token(Kind::Text(&rest[start..end]));
            } else if first == '\'' {
                self.skip(quoted_length(rest));
            } else if is_name(first) {
                let name = &rest[..rest.find(|next| !is_name(next)).unwrap_or(rest.len())];
                self.skip(name.len());
                if !first.is_ascii_digit() {
                    return token(Kind::Name(name));
                }
            } else if rest.starts_with("::") {
                self.skip(2);
                return token(Kind::Separator);
            } else {
                self.skip(first.len_utf8());
                return token(Kind::Sign(first));
            }
        }
    }
}

impl Reader<'_> {
    fn skip(&mut self, length: usize) {
        let skipped = &self.text[self.at..self.at + length];
        self.line += skipped.matches('\n').count();
        self.at += length;
    }
}

fn is_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The length of a block comment, which may hold others.
fn comment_length(text: &str) -> usize {
    let mut depth = 0;
    for (at, pair) in text.as_bytes().windows(2).enumerate() {
        match pair {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 2;
        }
    }
    text.len()
}

/// Where the inside of a string literal begins and ends, and the literal's length, if the text
/// starts with one: plain, raw or of bytes.
fn string(text: &str) -> Option<(usize, usize, usize)> {
    let prefix = text.len() - text.trim_start_matches(['b', 'c', 'r']).len();
    let hashes = text[prefix..].len() - text[prefix..].trim_start_matches('#').len();
    let start = prefix + hashes + 1;
    if prefix > 2 || !text[prefix + hashes..].starts_with('"') {
        return None;
    }
    if text[..prefix].ends_with('r') {
        let close = format!("\"{}", "#".repeat(hashes));
        let end = start + text[start..].find(&close).unwrap_or(text.len() - start);
        return Some((start, end, (end + close.len()).min(text.len())));
    }
    if hashes > 0 {
        return None;
    }
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(start) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((start, at, at + 1)),
            _ => {}
        }
    }
    Some((start, text.len(), text.len()))
}

/// The length of a character literal, or of a lifetime's quote.
fn quoted_length(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some((escaped, _))) => {
            text[escaped + 1..].find('\'').map_or(text.len(), |end| escaped + 1 + end + 1)
        }
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 1,
    }
}

/// Leaves out each item under an attribute `cfg(test)` or `cfg(all(test, …))`.
fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if let Some(end) = attribute_end(&tokens[at..])
            && is_test_attribute(&tokens[at..at + end])
        {
            at += end + item_length(&tokens[at + end..]);
            continue;
        }
        kept.push(tokens[at]);
        at += 1;
    }
    kept
}

/// The length of the outer attribute that the tokens start with.
fn attribute_end(tokens: &[Token<'_>]) -> Option<usize> {
    let starts =
        tokens.len() > 2 && tokens[0].kind == Kind::Sign('#') && tokens[1].kind == Kind::Sign('[');
    starts.then(|| 1 + group_length(&tokens[1..]))
}

fn is_test_attribute(tokens: &[Token<'_>]) -> bool {
    let names = tokens.iter().filter_map(|token| match token.kind {
        Kind::Name(name) => Some(name),
        Kind::Separator | Kind::Text(_) | Kind::Sign(_) => None,
    });
    let mut names = names.filter(|name| *name != "all");
    names.next() == Some("cfg") && names.next() == Some("test")
}

/// The length of the item, field, arm or statement that the tokens start with.
fn item_length(tokens: &[Token<'_>]) -> usize {
    let mut at = 0;
    while let Some(end) = attribute_end(&tokens[at..]) {
        at += end;
    }
    let is_item = tokens[at..].iter().take(6).any(|token| {
        matches!(
            token.kind,
            Kind::Name("fn" | "impl" | "mod" | "struct" | "enum" | "trait" | "use" | "type")
        )
    });
    // What is assigned may be a block; a field or an arm ends at a comma.
    let mut assigned = false;
    while at < tokens.len() {
        match tokens[at].kind {
            Kind::Sign('}' | ')' | ']') => return at,
            Kind::Sign(';') => return at + 1,
            Kind::Sign(',') if !is_item => return at + 1,
            Kind::Sign('=') => assigned = !is_item,
            Kind::Sign('{') if !assigned && !is_use(tokens, at) => {
                return at + group_length(&tokens[at..]);
            }
            Kind::Sign('{' | '(' | '[') => at += group_length(&tokens[at..]) - 1,
            Kind::Name(_) | Kind::Separator | Kind::Text(_) | Kind::Sign(_) => {}
        }
        at += 1;
    }
    at
}

/// Whether the brace at this place opens the group of a `use`.
fn is_use(tokens: &[Token<'_>], at: usize) -> bool {
    at > 0 && tokens[at - 1].kind == Kind::Separator
}

/// The length of the group whose opening bracket the tokens start with.
fn group_length(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Sign('{' | '(' | '[') => depth += 1,
            Kind::Sign('}' | ')' | ']') => depth -= 1,
            Kind::Name(_) | Kind::Separator | Kind::Text(_) | Kind::Sign(_) => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}
