//! Search in what this device holds: what a query matches, and which of it is newest.
//!
//! The words of a query are looked for in the strings of a message's JSON content, wherever in it they
//! stand; not in the names of its fields, in numbers or in what makes it JSON. Each word must occur, in
//! whichever string and also inside of longer words. Upper and lower case are the same (Unicode, one
//! character at a time, in no language in particular); accents are not taken off, and what is composed
//! differently is different.
//!
//! Blocks are looked through as they were stored, a few at a time, while the replica goes on changing:
//! ```text
//! let mut search = Search::new(Query::parse("two words")?, None, 50);
//! let messages = loop {
//!     match search.next(&replica, 8) {
//!         Next::Blocks(blocks) => for block in blocks {
//!             search.look_through(block, &read(block))?;
//!         }
//!         Next::Found(messages) => break messages,
//!     }
//! };
//! ```

use bytes::Bytes;
use tutti_protocol::{
    OperationId, Position,
    codec::{self, DecodeError},
    local::Piece,
    record::{Value, read_field},
    wire,
};

use crate::{
    batch::StoreError,
    lowercase::lowercase,
    message::{Message, State},
    replica::{Head, Replica, damaged},
    sorted::SortedSet,
};

/// A query is at most so long, in bytes.
const QUERY: usize = 1_024;
/// How many hits are kept at first beside those that are asked for, should some turn out to be none: they
/// may be edited or recalled while the search runs.
const SPARE: usize = 100;

/// What is looked for.
#[derive(Debug)]
pub struct Query {
    words: Vec<Word>,
}

impl Query {
    /// Reads what the user has typed. None if that is only white space, or over 1,024 bytes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let words: Vec<Word> = text.split_whitespace().map(Word::new).collect();
        (!words.is_empty() && text.len() <= QUERY).then_some(Self { words })
    }

    /// Whether all words occur in the strings of this JSON text. Of what is not JSON it says anything.
    #[must_use]
    pub fn matches(&self, content: &[u8]) -> bool {
        self.words.iter().all(|word| Strings { rest: content }.any(|string| word.occurs_in(string)))
    }
}

/// A word in lower case, with what it takes to find it in one pass over a text (Knuth, Morris and Pratt).
#[derive(Debug)]
struct Word {
    chars: Vec<char>,
    /// How much of the word still fits when the character after this much of it does not: the longest
    /// beginning of the word that also ends there.
    borders: Vec<usize>,
    ascii: bool,
}

impl Word {
    fn new(word: &str) -> Self {
        let chars: Vec<char> = word.chars().map(lowercase).collect();
        let ascii = chars.iter().all(char::is_ascii);
        let mut word = Self { chars, borders: vec![0], ascii };
        let mut fits = 0;
        for at in 1..word.chars.len() {
            fits = word.advance(fits, word.chars[at]);
            word.borders.push(fits);
        }
        word
    }

    /// Whether it occurs in what stands between the quotes of a JSON string.
    fn occurs_in(&self, string: &[u8]) -> bool {
        if string.iter().all(|byte| byte.is_ascii() && *byte != b'\\') {
            return self.ascii
                && self.occurs(string.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
        }
        // It was checked when it came that content is UTF-8.
        str::from_utf8(string)
            .is_ok_and(|string| self.occurs(Unescaped { rest: string.chars() }.map(lowercase)))
    }

    fn occurs(&self, text: impl Iterator<Item = char>) -> bool {
        let mut fits = 0;
        for char in text {
            fits = self.advance(fits, char);
            if fits == self.chars.len() {
                return true;
            }
        }
        false
    }

    /// How much of the word fits after the next character of a text.
    fn advance(&self, mut fits: usize, char: char) -> usize {
        while self.chars.get(fits) != Some(&char) {
            let Some(before) = fits.checked_sub(1) else {
                return 0;
            };
            fits = self.borders[before];
        }
        fits + 1
    }
}

/// The strings of a JSON text that are values, at any depth, as they stand between their quotes.
struct Strings<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let start = self.rest.iter().position(|byte| *byte == b'"')? + 1;
            let inside = &self.rest[start..];
            let length = length_of_string(inside);
            let string = &inside[..length];
            self.rest = inside.get(length + 1..).unwrap_or_default();
            // Nothing but the name of a field has a colon after it.
            if self.rest.trim_ascii_start().first() != Some(&b':') {
                return Some(string);
            }
        }
    }
}

/// Up to the quote that ends a string.
fn length_of_string(inside: &[u8]) -> usize {
    let mut escaped = false;
    let ends = |byte: &u8| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    };
    inside.iter().position(ends).unwrap_or(inside.len())
}

/// The characters that a JSON string stands for.
struct Unescaped<'a> {
    rest: std::str::Chars<'a>,
}

impl Iterator for Unescaped<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        match self.rest.next()? {
            '\\' => Some(match self.rest.next()? {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => self.code_point()?,
                itself => itself,
            }),
            char => Some(char),
        }
    }
}

impl Unescaped<'_> {
    /// What comes after `\u`; two of those where they are a surrogate pair.
    fn code_point(&mut self) -> Option<char> {
        let high = self.code_unit()?;
        if let 0xd800..0xdc00 = high {
            let single = self.rest.clone();
            if self.rest.next() == Some('\\')
                && self.rest.next() == Some('u')
                && let Some(low @ 0xdc00..0xe000) = self.code_unit()
            {
                return char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00));
            }
            self.rest = single;
        }
        // Half a pair stands for no character. JavaScript gives a text with one to WebAssembly like this, too.
        Some(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn code_unit(&mut self) -> Option<u32> {
        (0..4).try_fold(0, |unit, _| Some(unit * 16 + self.rest.next()?.to_digit(16)?))
    }
}

/// A search under way.
#[derive(Debug)]
pub struct Search {
    query: Query,
    conversation: Option<String>,
    limit: usize,
    /// The blocks that are still to be looked through, by number. None before it has begun.
    left: Option<Vec<u64>>,
    /// Those that were named last and have not been looked through yet.
    named: Vec<u64>,
    /// The fold that `left` takes into account.
    fold: u64,
    hits: Newest<Hit>,
    /// The newest of what may have been a hit, and was older than all that were kept.
    let_go: Option<Rank>,
    /// How many hits are kept beside those that are asked for.
    spare: usize,
}

/// What a search goes on with.
#[derive(Debug)]
pub enum Next {
    /// These blocks are to be looked through.
    Blocks(Vec<u64>),
    /// What was found, newest first.
    Found(Vec<Message>),
}

#[derive(Debug)]
struct Hit {
    block: u64,
    index: usize,
    message: wire::Message,
}

/// How new a message is: by time, then what is not sequenced yet, then by position. The id makes it the same
/// each time.
type Rank = (u64, u64, OperationId);

/// By rank, the newest first. Few are kept, and most of what comes is older than those.
type Newest<T> = Vec<(Rank, Box<T>)>;

/// Puts one in its place, unless that is after the first `most`. Says which one has no place any more.
fn keep<T>(newest: &mut Newest<T>, most: usize, rank: Rank, it: impl FnOnce() -> Option<T>) -> Option<Rank> {
    let at = newest.partition_point(|(of, _)| *of > rank);
    if at >= most {
        return Some(rank);
    }
    if let Some(it) = it() {
        newest.insert(at, (rank, Box::new(it)));
    }
    let over = newest.len() > most;
    newest.pop_if(|_| over).map(|(rank, _)| rank)
}

impl Search {
    /// Looks for up to `limit` messages, in one conversation or in all.
    #[must_use]
    pub fn new(query: Query, conversation: Option<String>, limit: usize) -> Self {
        Self {
            query,
            conversation,
            limit,
            left: None,
            named: Vec::new(),
            fold: 0,
            hits: Vec::new(),
            let_go: None,
            spare: SPARE,
        }
    }

    /// What to go on with: up to `most` blocks, those first that were written last. One that was named and not
    /// looked through, or was written again since, is named again.
    pub fn next(&mut self, replica: &Replica, most: usize) -> Next {
        loop {
            let mut left = self.left(replica);
            if !left.is_empty() {
                self.named = left.split_off(left.len().saturating_sub(most));
                self.left = Some(left);
                return Next::Blocks(self.named.iter().rev().copied().collect());
            }
            self.left = Some(left);
            if let Some(messages) = self.found(replica) {
                return Next::Found(messages);
            }
            self.begin_again();
        }
    }

    /// More hits turned out to be none than there are spare ones, and older ones were let go: those are
    /// looked for once more, and more is kept.
    fn begin_again(&mut self) {
        self.spare += self.hits.len();
        self.hits.clear();
        self.left = None;
        self.let_go = None;
    }

    /// Looks through a block, as it was read after it was named; through nothing, if it was not there.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the record is not what this code writes.
    pub fn look_through(&mut self, block: u64, record: &[u8]) -> Result<(), StoreError> {
        self.hits.retain(|(_, hit)| hit.block != block);
        self.scan(block, record).map_err(|_| damaged("blocks"))?;
        self.named.retain(|named| *named != block);
        Ok(())
    }

    /// The blocks that are to be looked through, by number: a fold may have written new ones, and others again.
    fn left(&mut self, replica: &Replica) -> Vec<u64> {
        let mut left = self.left.take();
        if let Some(left) = &mut left {
            left.append(&mut self.named);
            left.extend(replica.rewrites.since(self.fold));
        }
        self.fold = replica.rewrites.fold;
        let pieces = self.heads(replica).flat_map(|head| &head.pieces);
        let wanted = |block: &u64| left.as_ref().is_none_or(|left| left.contains(block));
        let blocks: SortedSet<u64> = pieces.map(|piece| piece.block).collect();
        blocks.into_iter().filter(wanted).collect()
    }

    fn scan(&mut self, block: u64, mut record: &[u8]) -> Result<(), DecodeError> {
        let mut index = 0;
        while !record.is_empty() {
            if let (1, Value::Content(message)) = read_field(&mut record)? {
                self.scan_message(block, index, message)?;
                index += 1;
            }
        }
        Ok(())
    }

    /// Looks at what is stored without making a message of it, since few match.
    fn scan_message(&mut self, block: u64, index: usize, stored: &[u8]) -> Result<(), DecodeError> {
        let (mut id, mut conversation, mut content): (&[u8], &[u8], &[u8]) = Default::default();
        let (mut position, mut sent_at) = (0, 0);
        let mut rest = stored;
        while !rest.is_empty() {
            match read_field(&mut rest)? {
                (1, Value::Content(bytes)) => id = bytes,
                (2, Value::Content(bytes)) => conversation = bytes,
                (6, Value::Content(bytes)) => content = bytes,
                (7, Value::Number(number)) => position = number,
                (9, Value::Number(number)) => sent_at = number,
                _ => {}
            }
        }
        let id: [u8; 16] = id.try_into().map_err(|_| DecodeError::Malformed)?;
        let elsewhere = self.conversation.as_ref().is_some_and(|only| only.as_bytes() != conversation);
        // What was recalled has no content.
        if elsewhere || content.is_empty() {
            return Ok(());
        }
        let rank = (sent_at, position, OperationId::from(id));
        let mut unreadable = false;
        let hit = || {
            if !self.query.matches(content) {
                return None;
            }
            // A copy, or all of the block would stay in memory.
            let message = codec::decode::<wire::Message>(&Bytes::copy_from_slice(stored)).ok();
            let message = message.filter(|message| codec::check_message(message).is_ok());
            unreadable = message.is_none();
            Some(Hit { block, index, message: message? })
        };
        let let_go = keep(&mut self.hits, self.limit + self.spare, rank, hit);
        self.let_go = self.let_go.max(let_go);
        if unreadable { Err(DecodeError::Malformed) } else { Ok(()) }
    }

    /// What matches, newest first, as it is shown now. None if too much of what was kept is no hit any more.
    fn found(&self, replica: &Replica) -> Option<Vec<Message>> {
        let changing = self.changing(replica);
        let mut found: Newest<Message> = Vec::new();
        let mut valid = 0;
        for (rank, hit) in &self.hits {
            if replica.is_stored_at(&hit.message, hit.block, hit.index) && place(&changing, rank.2).is_err() {
                keep(&mut found, self.limit, *rank, || Message::sequenced(&hit.message));
                valid += usize::from(self.let_go < Some(*rank));
            }
        }
        if self.let_go.is_some() && valid < self.limit {
            return None;
        }
        for message in self.heads(replica).flat_map(|head| head.recent.values()) {
            if let Ok(id) = OperationId::try_from(&message.id)
                && place(&changing, id).is_err()
            {
                let matching =
                    || self.query.matches(&message.content).then(|| Message::sequenced(message))?;
                keep(&mut found, self.limit, (message.sent_at, message.position, id), matching);
            }
        }
        for message in self.sends(replica).chain(changing.into_iter().filter_map(|(_, it)| it)) {
            let known = found.iter().any(|((.., id), _)| *id == message.id);
            if !known && message.state != State::Recalled && self.query.matches(&message.content) {
                let position = message.position.map_or(u64::MAX, |position| position.0);
                keep(&mut found, self.limit, (message.sent_at.0, position, message.id), || Some(message));
            }
        }
        Some(found.into_iter().map(|(_, message)| *message).collect())
    }

    /// The messages that an edit or a recall on its way is about, as they are shown, by id.
    fn changing(&self, replica: &Replica) -> Vec<(OperationId, Option<Message>)> {
        let mut changing = Vec::new();
        for (_, queued) in replica.outbox.iter() {
            if let Some(subject) = queued.message.as_ref().filter(|it| self.covers(&it.conversation))
                && let Ok(id) = OperationId::try_from(&subject.id)
                && let Err(at) = place(&changing, id)
            {
                changing.insert(at, (id, replica.presumed_subject(queued)));
            }
        }
        changing
    }

    /// The messages on their way, those that were refused too.
    fn sends(&self, replica: &Replica) -> impl Iterator<Item = Message> {
        let shown = replica.outbox.iter().filter_map(|(_, queued)| replica.shown_queued(queued));
        shown.filter(|message| self.covers(&message.conversation))
    }

    /// Whether a conversation is searched.
    fn covers(&self, conversation: &str) -> bool {
        self.conversation.as_ref().is_none_or(|only| only == conversation)
    }

    /// The conversations that are searched.
    fn heads<'a>(&self, replica: &'a Replica) -> impl Iterator<Item = &'a Head> + use<'a> {
        let one = self.conversation.as_ref().and_then(|only| replica.heads.get(only));
        let all = self.conversation.is_none().then(|| replica.heads.values());
        one.into_iter().chain(all.into_iter().flatten())
    }
}

/// Where an id is, or where it belongs.
fn place<T>(by_id: &[(OperationId, T)], id: OperationId) -> Result<usize, usize> {
    by_id.binary_search_by_key(&id, |(id, _)| *id)
}

impl Replica {
    /// This copy takes the place of another.
    pub(crate) fn follow_rewrites(&mut self, before: &Self) {
        let pieces = self.heads.values().flat_map(|head| &head.pieces);
        self.rewrites.follow(&before.rewrites, pieces.map(|piece| piece.block));
    }

    /// Whether this is where a message is to be read, and it has not changed since.
    fn is_stored_at(&self, message: &wire::Message, block: u64, index: usize) -> bool {
        let position = Position(message.position);
        let Some(head) = self.heads.get(&message.conversation) else {
            return false;
        };
        let place = |piece: &Piece| {
            let within = usize::try_from(position.0 - piece.first).ok()?;
            Some((piece.block, within.checked_add(piece.offset as usize)?))
        };
        !head.recent.contains_key(&position) && head.piece(position).and_then(place) == Some((block, index))
    }
}

/// Which blocks were written, and when, counted in folds that this tab has heard of.
#[derive(Debug, Default)]
pub(crate) struct Rewrites {
    fold: u64,
    /// By fold.
    written: Vec<(u64, u64)>,
}

impl Rewrites {
    /// A fold has written these.
    pub(crate) fn note(&mut self, written: impl Iterator<Item = u64>) {
        self.fold += 1;
        self.written.extend(written.map(|block| (self.fold, block)));
    }

    /// A copy that was read from the store takes the place of one with these: any block may be another.
    pub(crate) fn follow(&mut self, before: &Self, blocks: impl Iterator<Item = u64>) {
        self.fold = before.fold;
        self.note(blocks);
    }

    fn since(&self, fold: u64) -> impl Iterator<Item = u64> {
        let from = self.written.partition_point(|(at, _)| *at <= fold);
        self.written[from..].iter().map(|(_, block)| *block)
    }
}

#[cfg(test)]
mod tests {
    use std::{cmp::Reverse, collections::BTreeMap};

    use rand_chacha::{
        ChaCha8Rng,
        rand_core::{RngCore, SeedableRng},
    };
    use serde_json::Value as Json;
    use tutti_protocol::{
        StoreId,
        local::{ChangeSet, Queued},
        wire::{Operation, event, operation},
    };

    use super::*;
    use crate::{
        batch::{Key, Snapshot, Table, Write},
        block::decode_block,
        fold::fold,
        identity_batch,
    };

    fn matches(text: &str, content: &str) -> bool {
        Query::parse(text).expect("a query").matches(content.as_bytes())
    }

    #[test]
    fn words_are_found_in_strings_at_any_depth() {
        let content = r#"{"text":"Hello World","more":[{"by":"Anna"},["deep"]]}"#;
        for found in ["hello", "WORLD", "lo wor", "ell", "anna hello", "deep world deep", " \t world\n"] {
            assert!(matches(found, content), "{found}");
        }
        for missing in ["hallo", "helloworld", "world bob", "o w o x", "annadeep"] {
            assert!(!matches(missing, content), "{missing}");
        }
    }

    #[test]
    fn names_numbers_and_syntax_are_not_text() {
        let content =
            r#"{"text" : "a:b", "count":42, "is":true, "no":null, "e":{"inner":"\"x\":"}, "k":[] }"#;
        for missing in ["text", "count", "42", "true", "null", "inner", "{", ",", "[", "is", r#"text":"#] {
            assert!(!matches(missing, content), "{missing}");
        }
        for found in ["a:b", ":", r#""x":"#, "\""] {
            assert!(matches(found, content), "{found}");
        }
        assert!(matches("alone", r#" "all alone" "#));
        assert!(!matches("1", "1"));
    }

    #[test]
    fn upper_and_lower_case_and_escapes_are_the_same() {
        for (text, content) in [
            ("é", r#""caf\u00e9""#),
            ("É", r#""caf\u00E9""#),
            ("café", r#""CAFÉ""#),
            ("ὈΔΥΣΣ", r#""ὀδυσσέα""#),
            ("ПРИВЕТ", r#""привет""#),
            ("😀", r#""\ud83d\uDE00""#),
            ("a/b\\c", r#""A\/B\\C""#),
            ("\u{212a}elvin", r#""kelvin""#),
            ("kelvin", "\"\u{212a}elvin\""),
            ("\u{fffd}x", r#""\ud83dx""#),
            ("\u{fffd}é", r#""\ud83d\u00e9""#),
            ("istanbul", r#""İSTANBUL""#),
            ("ὈΔΥΣΣΕΥΣ", r#""ὀδυσσευς""#),
        ] {
            assert!(matches(text, content), "{text} in {content}");
        }
        assert!(!matches("cafe", r#""café""#));
        assert!(!matches("n", r#""\n""#));
        assert!(!matches("u00e9", r#""\u00e9""#));
    }

    #[test]
    fn nothing_to_look_for_and_too_much_of_it_are_refused() {
        for nothing in ["", " ", "\t\r\n", "\u{3000}\u{a0}"] {
            assert!(Query::parse(nothing).is_none(), "{nothing:?}");
        }
        assert!(Query::parse(&"x".repeat(QUERY)).is_some());
        assert!(Query::parse(&"x".repeat(QUERY + 1)).is_none());
    }

    #[test]
    fn what_is_not_json_breaks_nothing() {
        let pieces: [&[u8]; 14] = [
            b"\"", b"\\", b"u", b"\\u", b"d83d", b"dc00", b"00", b":", b"a", b"\xff", b"\xc3", b"\xa9", b"{",
            b",",
        ];
        let queries = ["a", "é", "\u{fffd}"].map(|text| Query::parse(text).expect("a query"));
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..20_000 {
            let count = rng.next_u32() % 12;
            let picked = (0..count).flat_map(|_| pick(&mut rng, &pieces).iter().copied());
            let content: Vec<u8> = picked.collect();
            for query in &queries {
                let _ = query.matches(&content);
            }
        }
    }

    fn pick<'a, T>(rng: &mut ChaCha8Rng, of: &'a [T]) -> &'a T {
        &of[rng.next_u32() as usize % of.len()]
    }

    /// Few characters, so that they are often found, and among them all that are written in several ways.
    const CHARS: [char; 18] =
        ['a', 'A', 'b', 'é', 'É', 'ß', 'İ', 'Σ', 'ς', '\u{212a}', 'k', '😀', '𐐀', '"', '\\', '\n', ':', '/'];

    fn random_text(rng: &mut ChaCha8Rng, most: u32) -> String {
        let length = rng.next_u32() % most + 1;
        (0..length).map(|_| *pick(rng, &CHARS)).collect()
    }

    /// A string as JSON writes it, in one of the many ways.
    fn random_string(rng: &mut ChaCha8Rng, text: &str) -> String {
        let mut json = String::from("\"");
        for char in text.chars() {
            match (rng.next_u32() % 4, char) {
                (0, _) => {
                    let mut units = [0; 2];
                    for unit in char.encode_utf16(&mut units) {
                        json.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                (_, '\n') => json.push_str("\\n"),
                (1, '/') => json.push_str("\\/"),
                (_, '"' | '\\') => json.extend(['\\', char]),
                _ => json.push(char),
            }
        }
        json + "\""
    }

    fn random_json(rng: &mut ChaCha8Rng, depth: u32) -> String {
        let text = random_text(rng, 12);
        match rng.next_u32() % if depth == 0 { 2 } else { 5 } {
            0 | 1 => random_string(rng, &text),
            2 => "12".into(),
            3 => format!("[{} , {}]", random_json(rng, depth - 1), random_json(rng, depth - 1)),
            _ => {
                let (name, value) = (random_string(rng, &text), random_json(rng, depth - 1));
                format!("{{{name} :{value},\"x\":{}}}", random_json(rng, depth - 1))
            }
        }
    }

    fn lower(text: &str) -> String {
        text.chars().map(lowercase).collect()
    }

    fn strings(json: &Json) -> Vec<String> {
        match json {
            Json::String(text) => vec![lower(text)],
            Json::Array(items) => items.iter().flat_map(strings).collect(),
            Json::Object(fields) => fields.values().flat_map(strings).collect(),
            _ => Vec::new(),
        }
    }

    /// What a query means, said as plainly as possible.
    fn model(text: &str, content: &str) -> bool {
        let strings = strings(&serde_json::from_str(content).expect("JSON"));
        text.split_whitespace().all(|word| strings.iter().any(|string| string.contains(&lower(word))))
    }

    #[test]
    fn it_agrees_with_a_model_on_a_json_library() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut found = 0;
        for _ in 0..30_000 {
            let content = random_json(&mut rng, 3);
            let mut text = random_text(&mut rng, 3);
            if rng.next_u32().is_multiple_of(3) {
                text = format!("{text} {}", random_text(&mut rng, 2));
            }
            if text.trim().is_empty() {
                continue;
            }
            assert_eq!(matches(&text, &content), model(&text, &content), "{text:?} in {content}");
            found += u32::from(model(&text, &content));
        }
        assert!(found > 2_000, "{found}");
    }

    /// A copy of an account, its store, and what it is to hold.
    struct World {
        replica: Replica,
        blocks: BTreeMap<u64, Bytes>,
        messages: BTreeMap<(String, u64), wire::Message>,
        /// A fold that the store has and the replica does not know of yet.
        unheard: Option<ChangeSet>,
        rng: ChaCha8Rng,
    }

    impl World {
        fn new(seed: u64) -> Self {
            let writes = identity_batch(StoreId::from([5; 16]), None).writes;
            let record = |write| match write {
                Write::Insert(table, key, bytes) => Some((table, key, bytes)),
                _ => None,
            };
            let snapshot =
                Snapshot { records: writes.into_iter().filter_map(record).collect(), ..Snapshot::default() };
            Self {
                replica: Replica::load("anna", &snapshot).expect("a replica"),
                blocks: BTreeMap::new(),
                messages: BTreeMap::new(),
                unheard: None,
                rng: ChaCha8Rng::seed_from_u64(seed),
            }
        }

        fn tell(&mut self, body: event::Body) {
            let event = wire::Event { seq: 1, operation: Bytes::new(), body: Some(body) };
            self.replica.apply(ChangeSet { events: vec![event], ..ChangeSet::default() });
        }

        fn content(&mut self) -> Bytes {
            let text = random_text(&mut self.rng, 4);
            // Some are so large that a block takes few of them, and is dissolved when one grows.
            let filler =
                if self.rng.next_u32().is_multiple_of(8) { "-".repeat(20_000) } else { String::new() };
            format!(r#"[{},"{filler}"]"#, random_string(&mut self.rng, &text)).into()
        }

        fn write(&mut self) {
            let conversation = format!("group:{}", self.rng.next_u32() % 3);
            let position = self.replica.last_position(&conversation).next().0;
            let mut id = [0; 16];
            self.rng.fill_bytes(&mut id);
            let message = wire::Message {
                id: Bytes::copy_from_slice(&id),
                conversation: conversation.clone(),
                sender: "ben".into(),
                r#type: "text".into(),
                content: self.content(),
                position,
                inbound: position,
                // Often the same for several.
                sent_at: 1_000 + self.messages.len() as u64 / 3,
                ..wire::Message::default()
            };
            self.messages.insert((conversation, position), message.clone());
            self.tell(event::Body::Message(message));
        }

        fn change(&mut self, recall: bool) {
            let places: Vec<_> = self.messages.keys().cloned().collect();
            if places.is_empty() {
                return;
            }
            let place = pick(&mut self.rng, &places);
            let content = self.content();
            let message = self.messages.get_mut(place).expect("was there");
            message.recalled |= recall;
            message.content = if message.recalled { Bytes::new() } else { content };
            let message = message.clone();
            self.tell(event::Body::Changed(message));
        }

        /// The store folds; whether this tab knows of it at once is another matter.
        fn fold(&mut self) {
            let read = |number: &u64| decode_block(self.blocks.get(number)?.clone()).ok();
            let outdated = self.replica.outdated_blocks().into_iter().map(|it| (it, read(&it))).collect();
            let fold = fold(&self.replica, outdated);
            for write in fold.writes {
                match write {
                    Write::Put(Table::Blocks, Key::Number(number), block) => {
                        drop(self.blocks.insert(number, block));
                    }
                    Write::Delete(Table::Blocks, Key::Number(number)) => drop(self.blocks.remove(&number)),
                    _ => {}
                }
            }
            self.unheard = Some(ChangeSet { folded: Some(fold.folded), ..ChangeSet::default() });
        }

        fn hear(&mut self) {
            if let Some(change_set) = self.unheard.take() {
                self.replica.apply(change_set);
            }
        }

        fn happen(&mut self) {
            // The leader folds what all have heard of.
            self.hear();
            match self.rng.next_u32() % 10 {
                0..5 => self.write(),
                5..7 => self.change(false),
                7 => self.change(true),
                _ => self.fold(),
            }
        }

        fn expected(&self, text: &str, conversation: Option<&str>, limit: usize) -> Vec<(Rank, Bytes)> {
            let here = |it: &&wire::Message| conversation.is_none_or(|only| only == it.conversation);
            let matching = self.messages.values().filter(here).filter(|message| {
                !message.recalled && model(text, str::from_utf8(&message.content).expect("text"))
            });
            let mut found: Vec<_> = matching.map(|it| (rank_of(it), it.content.clone())).collect();
            found.sort_by_key(|(rank, _)| Reverse(*rank));
            found.truncate(limit);
            found
        }
    }

    fn rank_of(message: &wire::Message) -> Rank {
        (message.sent_at, message.position, OperationId::try_from(&message.id).expect("an id"))
    }

    #[test]
    fn nothing_is_missed_or_found_twice_while_the_store_changes() {
        let mut found = 0;
        for seed in 0..300 {
            let mut world = World::new(seed);
            for _ in 0..world.rng.next_u32() % 150 {
                world.happen();
            }
            let text = *pick(&mut world.rng, &["a", "é", "k", "σ", "b a", "😀"]);
            let limit = *pick(&mut world.rng, &[1, 3, 1_000]);
            let conversation = (world.rng.next_u32().is_multiple_of(3)).then(|| "group:1".to_owned());
            let mut search = Search::new(Query::parse(text).expect("a query"), conversation.clone(), limit);
            search.spare = 0;
            let messages = loop {
                let blocks = match search.next(&world.replica, 2) {
                    Next::Found(messages) => break messages,
                    Next::Blocks(blocks) => blocks,
                };
                // Before they are read, or only before they are looked through.
                let mut records = None;
                for _ in 0..world.rng.next_u32() % 4 {
                    let of = |block: &u64| world.blocks.get(block).cloned();
                    if world.rng.next_u32().is_multiple_of(3) {
                        records.get_or_insert_with(|| blocks.iter().map(of).collect::<Vec<_>>());
                    }
                    world.happen();
                }
                let of = |block: &u64| world.blocks.get(block).cloned();
                let records = records.unwrap_or_else(|| blocks.iter().map(of).collect());
                for (block, record) in blocks.into_iter().zip(records) {
                    match record {
                        Some(record) => search.look_through(block, &record).expect("a block"),
                        None => world.hear(),
                    }
                }
            };
            let got: Vec<_> = messages
                .iter()
                .map(|it| ((it.sent_at.0, it.position.expect("sequenced").0, it.id), it.content.clone()))
                .collect();
            assert_eq!(got, world.expected(text, conversation.as_deref(), limit), "seed {seed}");
            found += got.len();
        }
        assert!(found > 500, "{found}");
    }

    fn on_its_way(id: u8, body: operation::Body, message: Option<wire::Message>) -> Queued {
        let operation =
            Operation { id: Bytes::copy_from_slice(&[id; 16]), clock: u64::from(id), body: Some(body) };
        Queued { operation: Some(operation), queued_at: 5_000, message, ..Queued::default() }
    }

    fn all(replica: &Replica, text: &str, conversation: Option<&str>) -> Vec<Message> {
        let query = Query::parse(text).expect("a query");
        let mut search = Search::new(query, conversation.map(str::to_owned), 50);
        match search.next(replica, 8) {
            Next::Found(messages) => messages,
            Next::Blocks(blocks) => panic!("nothing is folded, and yet {blocks:?} are to be read"),
        }
    }

    #[test]
    fn what_is_on_its_way_is_found_as_it_is_shown() {
        let mut world = World::new(0);
        let message = |id: u8, content: &'static str| wire::Message {
            id: Bytes::copy_from_slice(&[id; 16]),
            conversation: "group:1".into(),
            sender: "anna".into(),
            r#type: "text".into(),
            content: Bytes::from_static(content.as_bytes()),
            position: u64::from(id),
            inbound: 0,
            sent_at: u64::from(id),
            ..wire::Message::default()
        };
        let (first, second) = (message(1, r#""alpha""#), message(2, r#""beta""#));
        for message in [&first, &second] {
            world.tell(event::Body::Message(message.clone()));
        }
        let send = |text: &str| {
            operation::Body::Send(wire::Send {
                conversation: "group:2".into(),
                r#type: "text".into(),
                content: format!("\"{text}\"").into(),
            })
        };
        let edit = wire::Edit { message: first.id.clone(), content: r#""gamma""#.into() };
        let recall = wire::Recall { message: second.id.clone() };
        let mut refused = on_its_way(14, send("gamma refused"), None);
        refused.refused = Some(wire::Refused { code: "forbidden".into(), ..wire::Refused::default() });
        for queued in [
            on_its_way(11, operation::Body::Edit(edit), Some(first)),
            on_its_way(12, operation::Body::Recall(recall), Some(second)),
            on_its_way(13, send("gamma sent"), None),
            refused,
        ] {
            assert!(world.replica.enqueue(queued).is_some());
        }

        assert_eq!(all(&world.replica, "alpha", None), []);
        assert_eq!(all(&world.replica, "beta", None), []);
        let found = |conversation| {
            let found = all(&world.replica, "gamma", conversation);
            found.iter().map(|it| (it.id.as_bytes()[0], it.state == State::Sent)).collect::<Vec<_>>()
        };
        assert_eq!(found(None), [(14, false), (13, false), (1, true)]);
        assert_eq!(found(Some("group:1")), [(1, true)]);
        assert_eq!(found(Some("group:2")), [(14, false), (13, false)]);
        assert_eq!(found(Some("group:3")), []);
    }

    #[test]
    fn a_damaged_block_is_named_as_such() {
        let world = World::new(0);
        let query = || Query::parse("a").expect("a query");
        for record in [&b"\x0a"[..], b"\x0a\x05", b"\xff", b"\x0a\x02\x0a\x01", b"\x0a\x00"] {
            let mut search = Search::new(query(), None, 5);
            let result = search.look_through(1, record);
            assert!(matches!(result, Err(StoreError::Damaged(_))), "{record:?}");
        }
        let mut search = Search::new(query(), None, 5);
        search.look_through(1, b"").expect("nothing");
        assert!(matches!(search.next(&world.replica, 8), Next::Found(found) if found.is_empty()));
    }
}
