//! Response heads, put together from constant parts in the order and case that hyper writes.

use crate::catalogue::{Answer, Content, Message, PLAINTEXT};
use crate::head::Persistence;
use crate::{Date, Status};

/// The interim response to `expect: 100-continue` (RFC 9110 §15.2.1).
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// No head, together with the small contents that travel with it, is longer, in bytes.
pub(crate) const HEAD_MAX: usize = 320;

/// A head, and behind it the content where that is small.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    bytes: &'a mut [u8; HEAD_MAX],
    length: usize,
}

impl<'a> Head<'a> {
    /// Composes the head of `answer`, whose content has `content_length` bytes, in `bytes`.
    ///
    /// Where the content is small and its bytes are known here, they are appended; see
    /// [`is_content_with_head`].
    pub(crate) fn compose(
        bytes: &'a mut [u8; HEAD_MAX],
        answer: &Answer,
        persistence: Persistence,
        content_length: usize,
        date: &Date,
    ) -> Self {
        let mut head = Self { bytes, length: 0 };
        // The parts that most heads have are copied with their lengths known to the compiler.
        match answer.status {
            Status::Ok => head.push_part(b"HTTP/1.1 200 OK\r\n"),
            refused => head.push(refused.line()),
        }
        match answer.content {
            Content::Empty | Content::Allow(_) => {}
            Content::Plaintext => head.push_part(b"content-type: text/plain\r\n"),
            Content::Json => head.push_part(b"content-type: application/json\r\n"),
            Content::Bytes(_) | Content::Echo => {
                head.push_part(b"content-type: application/octet-stream\r\n");
            }
        }
        head.push_part(b"server: showdown\r\n");
        if let Content::Allow(allow) = answer.content {
            head.push_part(b"allow: ");
            head.push(allow.value().as_bytes());
            head.push_part(b"\r\n");
        }
        match persistence {
            Persistence::Keep => {}
            Persistence::KeepAsked => head.push_part(b"connection: keep-alive\r\n"),
            Persistence::Close => head.push_part(b"connection: close\r\n"),
        }
        head.push_part(b"content-length: ");
        head.push_decimal(content_length);
        head.push_part(b"\r\ndate: ");
        head.push_part(date.as_bytes());
        head.push_part(b"\r\n\r\n");
        match answer.content {
            _ if answer.head_only => {}
            Content::Plaintext => head.push_part(PLAINTEXT),
            Content::Json => head.push_json(),
            Content::Empty | Content::Allow(_) | Content::Bytes(_) | Content::Echo => {}
        }
        head
    }

    /// The bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    #[inline]
    fn push_part<const LENGTH: usize>(&mut self, part: &[u8; LENGTH]) {
        self.bytes[self.length..][..LENGTH].copy_from_slice(part);
        self.length += LENGTH;
    }

    fn push(&mut self, part: &[u8]) {
        self.bytes[self.length..][..part.len()].copy_from_slice(part);
        self.length += part.len();
    }

    fn push_decimal(&mut self, value: usize) {
        let digits = value.checked_ilog10().map_or(1, |log| log as usize + 1);
        let mut rest = value;
        for place in self.bytes[self.length..][..digits].iter_mut().rev() {
            *place = b'0' + u8::try_from(rest % 10).expect("a digit fits");
            rest /= 10;
        }
        self.length += digits;
    }

    fn push_json(&mut self) {
        let mut space = &mut self.bytes[self.length..];
        let before = space.len();
        serde_json::to_writer(&mut space, &Message::HELLO).expect("HEAD_MAX has room for it");
        self.length += before - space.len();
    }
}

/// Whether [`Head::compose`] appends the content, so that none is left to send.
pub(crate) const fn is_content_with_head(content: Content) -> bool {
    matches!(content, Content::Plaintext | Content::Json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Allow;

    #[test]
    fn content_types_are_those_of_the_catalogue() {
        for content in [
            Content::Empty,
            Content::Allow(Allow::Post),
            Content::Plaintext,
            Content::Json,
            Content::Bytes(1),
            Content::Echo,
        ] {
            let answer = Answer { status: Status::Ok, content, head_only: true };
            let date = Date::from_unix_seconds(0);
            let mut room = [0; HEAD_MAX];
            let head = Head::compose(&mut room, &answer, Persistence::Keep, 0, &date);
            let head = core::str::from_utf8(head.as_bytes()).expect("ASCII");
            let line = head.split("\r\n").find_map(|line| line.strip_prefix("content-type: "));
            assert_eq!(line, content.media_type());
        }
    }

    #[test]
    fn the_longest_heads_fit() {
        let date = Date::from_unix_seconds(0);
        let compose = |answer: Answer| {
            let mut room = [0; HEAD_MAX];
            let length = usize::MAX;
            Head::compose(&mut room, &answer, Persistence::KeepAsked, length, &date)
                .as_bytes()
                .len()
        };
        let allow = Content::Allow(Allow::All);
        let status = Status::FieldsTooLarge;
        assert!(compose(Answer { status, content: allow, head_only: false }) <= HEAD_MAX);
        assert!(compose(Answer { status, content: Content::Json, head_only: false }) <= HEAD_MAX);
    }
}
