//! What goes over the control socket, and what lies in shared memory: the layout of both.
//!
//! Messages are 128 bytes in the byte order of the machine, since both ends run on it: a type
//! (u16), then the fields of that type without padding. Descriptors of files go beside them.

/// Length of every message, in bytes.
pub(crate) const MESSAGE_BYTES: usize = 128;
/// The version that this is: major 2, minor 0.
pub(crate) const VERSION: u16 = 2 << 8;
/// Packets are Ethernet frames: the one mode spoken here.
pub(crate) const MODE_ETHERNET: u8 = 0;

/// Where the parts of a ring lie, in bytes from its beginning.
pub(crate) mod ring {
    /// What the first word of every ring is.
    pub(crate) const COOKIE_VALUE: u32 = 0x03E3_1F20;
    /// The cookie (u32).
    pub(crate) const COOKIE: usize = 0;
    /// The flags (u16).
    pub(crate) const FLAGS: usize = 4;
    /// The client's index (u16).
    pub(crate) const HEAD: usize = 6;
    /// The server's index (u16), on a cache line of its own.
    pub(crate) const TAIL: usize = 64;
    /// The first descriptor.
    pub(crate) const DESCRIPTORS: usize = 128;
    /// Length of a descriptor, in bytes.
    pub(crate) const DESCRIPTOR_BYTES: usize = 16;
    /// Flag of a ring whose receiver polls: no interrupts, please.
    pub(crate) const FLAG_MASK_INTERRUPTS: u16 = 1;
    /// Largest ring, as a power of two: indices are 16 bits wide and must tell full from empty.
    pub(crate) const LOG2_SIZE_MAX: u8 = 14;

    /// Length of a ring of `1 << log2_size` descriptors, in bytes.
    pub(crate) const fn bytes(log2_size: u8) -> usize {
        DESCRIPTORS + (DESCRIPTOR_BYTES << log2_size)
    }
}

/// Names a buffer: one element of a ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Descriptor {
    /// [`Self::FLAG_NEXT`], or none.
    pub(crate) flags: u16,
    /// The region that the buffer lies in.
    pub(crate) region: u16,
    /// Of the packet in it, or of the empty buffer, in bytes.
    pub(crate) length: u32,
    /// From the region's beginning, in bytes.
    pub(crate) offset: u32,
}

impl Descriptor {
    /// The packet goes on in the next buffer.
    pub(crate) const FLAG_NEXT: u16 = 1;

    /// From the two words that it is in memory; the last half word is metadata that nobody uses.
    #[expect(clippy::cast_possible_truncation, reason = "taking a word apart")]
    pub(crate) const fn from_words(words: [u64; 2]) -> Self {
        let [first, second] = [words[0].to_le(), words[1].to_le()];
        Self {
            flags: first as u16,
            region: (first >> 16) as u16,
            length: (first >> 32) as u32,
            offset: second as u32,
        }
    }

    /// The two words that it is in memory.
    pub(crate) const fn to_words(self) -> [u64; 2] {
        let first = (self.length as u64) << 32 | (self.region as u64) << 16 | self.flags as u64;
        [u64::from_le(first), u64::from_le(self.offset as u64)]
    }
}

/// Text in a message: as many bytes, NUL-terminated if shorter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Text<const BYTES: usize>([u8; BYTES]);

impl<const BYTES: usize> Text<BYTES> {
    /// As much of `text` as fits with a NUL behind it.
    pub(crate) fn new(text: &str) -> Self {
        let mut bytes = [0; BYTES];
        let len = text.len().min(BYTES - 1);
        bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
        Self(bytes)
    }

    /// The bytes before the first NUL.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.split(|&byte| byte == 0).next().unwrap_or(&[])
    }
}

impl<const BYTES: usize> std::fmt::Display for Text<BYTES> {
    /// What the peer wrote, with everything escaped that is not printable ASCII.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.as_bytes().escape_ascii())
    }
}

impl<const BYTES: usize> std::fmt::Debug for Text<BYTES> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "\"{self}\"")
    }
}

/// What a server says first: what it would accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) name: Text<32>,
    pub(crate) min_version: u16,
    pub(crate) max_version: u16,
    /// Highest index of a region.
    pub(crate) max_region: u16,
    /// Highest index of a ring from server to client.
    pub(crate) max_s2c_ring: u16,
    /// Highest index of a ring from client to server.
    pub(crate) max_c2s_ring: u16,
    pub(crate) max_log2_ring_size: u8,
}

/// What a client answers: which interface it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Init {
    pub(crate) version: u16,
    pub(crate) id: u32,
    pub(crate) mode: u8,
    pub(crate) secret: Text<24>,
    pub(crate) name: Text<32>,
}

/// A client's offer of a ring; a descriptor for interrupts comes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddRing {
    pub(crate) is_c2s: bool,
    pub(crate) index: u16,
    pub(crate) region: u16,
    /// From the region's beginning, in bytes.
    pub(crate) offset: u32,
    pub(crate) log2_size: u8,
}

/// A message of the control protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Server to client: go on.
    Ack,
    Hello(Hello),
    Init(Init),
    /// Client to server: memory, whose descriptor comes with it.
    AddRegion {
        index: u16,
        size_bytes: u64,
    },
    AddRing(AddRing),
    /// Client to server: that was all; the name of its interface.
    Connect(Text<32>),
    /// Server to client: the link is up; the name of its interface.
    Connected(Text<32>),
    /// Either way: the link is over, and why.
    Disconnect {
        code: u32,
        reason: Text<96>,
    },
}

/// Flag of [`Message::AddRing`]: from client to server.
const RING_IS_C2S: u16 = 1;

/// Writes fields one after another.
struct Emitter {
    bytes: [u8; MESSAGE_BYTES],
    at: usize,
}

impl Emitter {
    fn put(&mut self, field: &[u8]) {
        self.bytes[self.at..self.at + field.len()].copy_from_slice(field);
        self.at += field.len();
    }

    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_ne_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_ne_bytes());
    }
}

/// Reads fields one after another.
struct Parser<'a> {
    bytes: &'a [u8; MESSAGE_BYTES],
    at: usize,
}

impl Parser<'_> {
    /// The next field. No message has more of them than bytes, so that this stays within.
    fn take<const BYTES: usize>(&mut self) -> [u8; BYTES] {
        let mut field = [0; BYTES];
        field.copy_from_slice(&self.bytes[self.at..self.at + BYTES]);
        self.at += BYTES;
        field
    }

    fn u8(&mut self) -> u8 {
        let [byte] = self.take();
        byte
    }

    fn u16(&mut self) -> u16 {
        u16::from_ne_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.take())
    }

    fn text<const BYTES: usize>(&mut self) -> Text<BYTES> {
        Text(self.take())
    }
}

impl Message {
    /// The message as it is sent.
    pub(crate) fn emit(&self) -> [u8; MESSAGE_BYTES] {
        let mut to = Emitter { bytes: [0; MESSAGE_BYTES], at: 0 };
        to.put_u16(self.kind());
        match self {
            Self::Ack => {}
            Self::Hello(hello) => {
                to.put(&hello.name.0);
                to.put_u16(hello.min_version);
                to.put_u16(hello.max_version);
                to.put_u16(hello.max_region);
                to.put_u16(hello.max_s2c_ring);
                to.put_u16(hello.max_c2s_ring);
                to.put(&[hello.max_log2_ring_size]);
            }
            Self::Init(init) => {
                to.put_u16(init.version);
                to.put_u32(init.id);
                to.put(&[init.mode]);
                to.put(&init.secret.0);
                to.put(&init.name.0);
            }
            Self::AddRegion { index, size_bytes } => {
                to.put_u16(*index);
                to.put(&size_bytes.to_ne_bytes());
            }
            Self::AddRing(ring) => {
                to.put_u16(if ring.is_c2s { RING_IS_C2S } else { 0 });
                to.put_u16(ring.index);
                to.put_u16(ring.region);
                to.put_u32(ring.offset);
                to.put(&[ring.log2_size]);
            }
            Self::Connect(name) | Self::Connected(name) => to.put(&name.0),
            Self::Disconnect { code, reason } => {
                to.put_u32(*code);
                to.put(&reason.0);
            }
        }
        to.bytes
    }

    /// The message that was received, or the type that no message has.
    pub(crate) fn parse(bytes: &[u8; MESSAGE_BYTES]) -> Result<Self, u16> {
        let mut from = Parser { bytes, at: 0 };
        Ok(match from.u16() {
            1 => Self::Ack,
            2 => Self::Hello(Hello {
                name: from.text(),
                min_version: from.u16(),
                max_version: from.u16(),
                max_region: from.u16(),
                max_s2c_ring: from.u16(),
                max_c2s_ring: from.u16(),
                max_log2_ring_size: from.u8(),
            }),
            3 => Self::Init(Init {
                version: from.u16(),
                id: from.u32(),
                mode: from.u8(),
                secret: from.text(),
                name: from.text(),
            }),
            4 => Self::AddRegion { index: from.u16(), size_bytes: u64::from_ne_bytes(from.take()) },
            5 => Self::AddRing(AddRing {
                is_c2s: from.u16() & RING_IS_C2S != 0,
                index: from.u16(),
                region: from.u16(),
                offset: from.u32(),
                log2_size: from.u8(),
            }),
            6 => Self::Connect(from.text()),
            7 => Self::Connected(from.text()),
            8 => Self::Disconnect { code: from.u32(), reason: from.text() },
            other => return Err(other),
        })
    }

    const fn kind(&self) -> u16 {
        match self {
            Self::Ack => 1,
            Self::Hello(_) => 2,
            Self::Init(_) => 3,
            Self::AddRegion { .. } => 4,
            Self::AddRing(_) => 5,
            Self::Connect(_) => 6,
            Self::Connected(_) => 7,
            Self::Disconnect { .. } => 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: Message, beginning: &[u8]) {
        let bytes = message.emit();
        assert_eq!(&bytes[..beginning.len()], beginning, "{message:?}");
        assert_eq!(Message::parse(&bytes), Ok(message));
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn messages_lie_as_the_packed_structs_of_dpdk_do() {
        check(Message::Ack, &[1, 0, 0, 0]);
        let mut hello = vec![2, 0, b'a'];
        hello.resize(34, 0);
        hello.extend([0, 2, 0, 2, 15, 0, 1, 0, 3, 0, 14, 0]);
        let said = Hello {
            name: Text::new("a"),
            min_version: VERSION,
            max_version: VERSION,
            max_region: 15,
            max_s2c_ring: 1,
            max_c2s_ring: 3,
            max_log2_ring_size: 14,
        };
        check(Message::Hello(said), &hello);
        let mut init = vec![3, 0, 0, 2, 7, 0, 0, 0, 0, b's'];
        init.resize(33, 0);
        init.extend(b"n\0");
        let said = Init {
            version: VERSION,
            id: 7,
            mode: MODE_ETHERNET,
            secret: Text::new("s"),
            name: Text::new("n"),
        };
        check(Message::Init(said), &init);
        let region = Message::AddRegion { index: 1, size_bytes: 0x0102 };
        check(region, &[4, 0, 1, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0]);
        let ring = AddRing { is_c2s: true, index: 2, region: 1, offset: 0x80, log2_size: 10 };
        check(Message::AddRing(ring), &[5, 0, 1, 0, 2, 0, 1, 0, 0x80, 0, 0, 0, 10, 0, 0]);
        check(Message::Connect(Text::new("c")), &[6, 0, b'c', 0]);
        check(Message::Connected(Text::new("d")), &[7, 0, b'd', 0]);
        let over = Message::Disconnect { code: 1, reason: Text::new("why") };
        check(over, &[8, 0, 1, 0, 0, 0, b'w', b'h', b'y', 0]);
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_descriptor_is_flags_region_length_offset() {
        let descriptor = Descriptor { flags: 1, region: 2, length: 3, offset: 4 };
        let words = descriptor.to_words();
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        assert_eq!(bytes, [1, 0, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Descriptor::from_words(words), descriptor);
    }

    #[test]
    fn unknown_types_and_long_texts_do_no_harm() {
        for kind in [0, 9, u16::MAX] {
            let mut bytes = [0xFF; MESSAGE_BYTES];
            bytes[..2].copy_from_slice(&kind.to_ne_bytes());
            assert_eq!(Message::parse(&bytes), Err(kind));
        }
        for kind in 1..=8_u16 {
            let mut bytes = [0xFF; MESSAGE_BYTES];
            bytes[..2].copy_from_slice(&kind.to_ne_bytes());
            assert!(Message::parse(&bytes).is_ok(), "{kind}");
        }
        assert_eq!(Text::<4>::new("abcdef").as_bytes(), b"abc");
        assert_eq!(Text([b'\n', b'"', 0, b'x']).to_string(), "\\n\\\"");
    }
}
