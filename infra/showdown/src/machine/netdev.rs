//! What a driver says of itself: the generic netlink family `netdev`
//! (`Documentation/netlink/specs/netdev.yaml`).

use super::DeviceFeatures;
use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload, NlasIterator, ParseableParametrized, parse_u32, parse_u64,
};
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};
use std::fmt::Debug;
use std::io;

/// `NETDEV_CMD_DEV_GET`, Linux 6.3.
const DEV_GET: u8 = 1;
/// `NETDEV_CMD_NAPI_GET`, Linux 6.8.
const NAPI_GET: u8 = 11;
/// `NETDEV_A_DEV_IFINDEX` and `NETDEV_A_NAPI_IFINDEX`.
const IFINDEX: u16 = 1;
/// `NETDEV_A_DEV_XDP_FEATURES`.
const XDP_FEATURES: u16 = 3;
/// `NETDEV_XDP_ACT_BASIC`: a program can abort, drop, pass and transmit in the driver.
const ACT_BASIC: u64 = 1;
/// `NETDEV_XDP_ACT_REDIRECT`, which AF_XDP needs.
const ACT_REDIRECT: u64 = 1 << 1;
/// `NETDEV_XDP_ACT_XSK_ZEROCOPY`.
const ACT_XSK_ZEROCOPY: u64 = 1 << 3;

/// Asks for the features of an interface and the number of its NAPIs.
///
/// # Errors
/// Where the kernel does not know the family or the interface.
pub(super) fn device_features(interface_index: u32) -> io::Result<DeviceFeatures> {
    let mut socket = Socket::new(NETLINK_GENERIC)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let family = family_id(&mut socket)?;
    let mut ask = |command, flags| {
        let header = GenlHeader { cmd: command, version: 1 };
        let message = Message { command, interface_index, xdp: 0 };
        converse(&mut socket, GenlMessage::new(header, message, family), flags)
    };
    let answers = ask(DEV_GET, NLM_F_ACK)?;
    let device = answers.first().ok_or(io::ErrorKind::NotFound)?;
    let all = |mask| device.xdp & mask == mask;
    Ok(DeviceFeatures {
        xdp_native: all(ACT_BASIC | ACT_REDIRECT),
        xsk_zero_copy: all(ACT_XSK_ZEROCOPY),
        napis: ask(NAPI_GET, NLM_F_DUMP).ok().map(|napis| napis.len()),
    })
}

/// The number that the kernel gave to `netdev` when it booted.
fn family_id(socket: &mut Socket) -> io::Result<u16> {
    let ask = GenlMessage::from_payload(GenlCtrl {
        cmd: GenlCtrlCmd::GetFamily,
        nlas: vec![GenlCtrlAttrs::FamilyName(Message::family_name().to_owned())],
    });
    let answers = converse(socket, ask, NLM_F_ACK)?;
    let mut attributes = answers.into_iter().flat_map(|answer| answer.nlas);
    let id = attributes.find_map(|attribute| match attribute {
        GenlCtrlAttrs::FamilyId(id) => Some(id),
        _ => None,
    });
    id.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Sends one message and collects the answers until the kernel says that there are no more.
fn converse<F>(socket: &mut Socket, ask: GenlMessage<F>, flags: u16) -> io::Result<Vec<F>>
where
    F: GenlFamily + Emitable + ParseableParametrized<[u8], GenlHeader> + Clone + Debug + Eq,
{
    let mut ask = NetlinkMessage::from(ask);
    ask.header.flags = NLM_F_REQUEST | flags;
    ask.finalize();
    let mut bytes = vec![0; ask.buffer_len()];
    ask.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut answers = Vec::new();
    loop {
        let (bytes, _) = socket.recv_from_full()?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let answer =
                NetlinkMessage::<GenlMessage<F>>::deserialize(rest).map_err(io::Error::other)?;
            // Messages are aligned to four bytes; deserialising has checked the length.
            let len = (answer.header.length as usize).next_multiple_of(4).min(rest.len());
            rest = &rest[len..];
            match answer.payload {
                NetlinkPayload::InnerMessage(message) => answers.push(message.payload),
                NetlinkPayload::Done(_) => return Ok(answers),
                NetlinkPayload::Error(error) if error.code.is_none() => return Ok(answers),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                _ => {}
            }
        }
    }
}

/// A question about an interface, or an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    command: u8,
    interface_index: u32,
    /// In an answer, the bits of `NETDEV_XDP_ACT_*`.
    xdp: u64,
}

impl GenlFamily for Message {
    fn family_name() -> &'static str {
        "netdev"
    }

    fn command(&self) -> u8 {
        self.command
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Message {
    fn attributes(&self) -> Vec<DefaultNla> {
        vec![DefaultNla::new(IFINDEX, self.interface_index.to_ne_bytes().to_vec())]
    }
}

impl Emitable for Message {
    fn buffer_len(&self) -> usize {
        self.attributes().as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.attributes().as_slice().emit(buffer);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Message {
    fn parse_with_param(bytes: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        let mut message = Self { command: header.cmd, interface_index: 0, xdp: 0 };
        for attribute in NlasIterator::new(bytes) {
            let attribute = attribute?;
            match (attribute.kind(), header.cmd) {
                (IFINDEX, _) => message.interface_index = parse_u32(attribute.value())?,
                (XDP_FEATURES, DEV_GET) => message.xdp = parse_u64(attribute.value())?,
                _ => {}
            }
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_about_a_device_is_understood() {
        let attributes = [
            DefaultNla::new(IFINDEX, 7_u32.to_ne_bytes().to_vec()),
            DefaultNla::new(XDP_FEATURES, 0b1011_u64.to_ne_bytes().to_vec()),
        ];
        let mut bytes = vec![0; attributes.as_slice().buffer_len()];
        attributes.as_slice().emit(&mut bytes);
        let told = |cmd| Message::parse_with_param(&bytes, GenlHeader { cmd, version: 1 }).unwrap();
        assert_eq!(told(DEV_GET), Message { command: DEV_GET, interface_index: 7, xdp: 0b1011 });
        // The same number means something else in another command.
        assert_eq!(told(NAPI_GET).xdp, 0);
    }

    #[test]
    fn the_loopback_has_no_xdp_in_its_driver() {
        // Kernels before 6.3 do not know the question.
        if let Ok(features) = device_features(1) {
            assert!(!features.xsk_zero_copy, "{features:?}");
        }
    }
}
