//! Just enough of a lexer to look at code without its comments, texts and tests.

use std::ops::Range;

/// `text` with every comment, string and character literal blanked; lines and columns stay.
pub fn without_literals(text: &str) -> String {
    blanked(text, |_| true)
}

/// `text` with every comment blanked; lines and columns stay.
fn without_comments(text: &str) -> String {
    blanked(text, |literal| literal.starts_with(b"//") || literal.starts_with(b"/*"))
}

/// `text` without those of its comments and literals that are `unwanted`.
fn blanked(text: &str, unwanted: impl Fn(&[u8]) -> bool) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        if unwanted(&bytes[at..end]) {
            blank(&mut out[at..end]);
        }
        at = end.max(at + 1);
    }
    String::from_utf8(out).expect("whole literals were blanked")
}

fn blank(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
}

/// Where the comment or literal that begins at `at` ends; `at` if none begins there.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let word_before = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    if rest.starts_with(b"//") {
        return at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
    }
    if rest.starts_with(b"/*") {
        return at + block_comment(rest);
    }
    if rest[0] == b'r' && (!word_before || bytes[at - 1] == b'b') {
        let hashes = rest[1..].iter().take_while(|b| **b == b'#').count();
        if rest.get(1 + hashes) == Some(&b'"') {
            let close = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
            let body = 2 + hashes;
            let found = rest[body..].windows(close.len()).position(|w| w == close);
            return at + found.map_or(rest.len(), |found| body + found + close.len());
        }
    }
    match rest {
        [b'"', ..] => at + quoted(rest, b'"'),
        // A lifetime has no closing quote after its first character.
        [b'\'', b'\\', ..] => at + quoted(rest, b'\''),
        [b'\'', first, ..] => {
            let width =
                1 + usize::from(*first >= 0xC0) + usize::from(*first >= 0xE0) + usize::from(*first >= 0xF0);
            if rest.get(1 + width) == Some(&b'\'') { at + width + 2 } else { at }
        }
        _ => at,
    }
}

/// Length of the quoted literal at the start of `rest`.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut i = 1;
    while i < rest.len() && rest[i] != quote {
        i += 1 + usize::from(rest[i] == b'\\');
    }
    (i + 1).min(rest.len())
}

/// Length of the block comment at the start of `rest`; they nest.
fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut i) = (0, 0);
    while i < rest.len() {
        match rest[i..] {
            [b'/', b'*', ..] => (depth, i) = (depth + 1, i + 2),
            [b'*', b'/', ..] => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    rest.len()
}

/// Blanks every item of `code` that begins with `marker`. `code` has no literals any more.
pub fn without_items(code: &str, marker: &str) -> String {
    let mut out = code.as_bytes().to_vec();
    items(code, marker).into_iter().for_each(|item| blank(&mut out[item]));
    String::from_utf8(out).expect("whole items were blanked")
}

/// Where items begin with `marker` and end: with their `;`, or with their braces.
fn items(code: &str, marker: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (begin, _) in code.match_indices(marker) {
        if found.last().is_some_and(|item| item.contains(&begin)) {
            continue;
        }
        let mut depth = 0;
        let length = code[begin..].find(|c: char| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0 && matches!(c, '}' | ';')
        });
        found.push(begin..length.map_or(code.len(), |length| begin + length + 1));
    }
    found
}

const TEST: &str = "#[cfg(test)]";

/// Code that ships: no literals, no tests.
pub fn shipped(text: &str) -> String {
    without_items(&without_literals(text), TEST)
}

/// Code that ships, with what it says: no comments, no tests.
pub fn shipped_with_texts(text: &str) -> String {
    let mut out = without_comments(text).into_bytes();
    items(&without_literals(text), TEST).into_iter().for_each(|item| blank(&mut out[item]));
    String::from_utf8(out).expect("whole items were blanked")
}

#[test]
fn literals_vanish_and_lines_stay() {
    let text = "let a = \"unsafe \\\" {\"; // f64\nlet b: &'a str = r#\"crate::x \" \"#; /* { /* */ f32 */ let c = '\\'';\n\
                let d = '{'; let e = 'é'; let f = b\"f64\"; keep::<'a>()";
    let code = without_literals(text);
    assert_eq!(code.len(), text.len());
    assert_eq!(code.lines().count(), 3);
    for gone in ["unsafe", "f64", "crate", "f32", "{", "é"] {
        assert!(!code.contains(gone), "{gone} in {code}");
    }
    for kept in ["let a =", "let b: &'a str =", "let c =", "let d =", "keep::<'a>()"] {
        assert!(code.contains(kept), "{kept} not in {code}");
    }
}

#[test]
fn test_items_vanish_and_what_follows_stays() {
    let code = shipped(
        "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { f64; } }\nfn c() {}\n#[cfg(test)]\nmod d;\nfn e() {}",
    );
    assert!(code.contains("fn a") && code.contains("fn c") && code.contains("fn e"));
    assert!(!code.contains("fn b") && !code.contains("mod d") && !code.contains("f64"));
}

#[test]
fn texts_stay_where_comments_and_tests_vanish() {
    let text = "// é \"comment\"\nconst A: &str = \"text // of é\"; /* b */\n\
                #[cfg(test)]\nmod tests { const C: &str = \"test }\"; }\nconst D: &str = r\"raw\";";
    let code = shipped_with_texts(text);
    assert_eq!(code.len(), text.len());
    for gone in ["comment", "/*", "test", "const C"] {
        assert!(!code.contains(gone), "{gone} in {code}");
    }
    for kept in ["\"text // of é\"", "const D: &str = r\"raw\";"] {
        assert!(code.contains(kept), "{kept} not in {code}");
    }
}
