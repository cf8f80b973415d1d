//! Which network devices a waiting thread can poll, and how their interrupts are held back.
//!
//! A NAPI is one receive queue's poll function in the kernel (`napi.rst`). Waiting calls can run
//! it only where there is one: a device on a bus has one for each queue, a veth only with GRO on
//! or an XDP program attached, the loopback none. The kernel tells by the generic netlink family
//! `netdev` (`Documentation/netlink/specs/netdev.yaml`).

use crate::{Details, sys};
use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage,
    NetlinkPayload, NlasIterator, ParseableParametrized, parse_u32, parse_u64,
};
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr as NetlinkAddr};
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// `NETDEV_CMD_NAPI_GET`, Linux 6.8.
const NAPI_GET: u8 = 11;
/// `NETDEV_CMD_NAPI_SET`, Linux 6.13.
const NAPI_SET: u8 = 14;
const IFINDEX: u16 = 1;
const ID: u16 = 2;
const DEFER_HARD_IRQS: u16 = 5;
const GRO_FLUSH_TIMEOUT: u16 = 6;
const IRQ_SUSPEND_TIMEOUT: u16 = 7;

/// While interrupts are suspended, times that the device's queue is polled by timer before its
/// interrupt is switched on again, and the time between two: what those who wrote IRQ suspension
/// measured with (`napi.rst`, "IRQ suspension").
const SUSPENDED_DEFER: u32 = 100;
const SUSPENDED_FLUSH: Duration = Duration::from_micros(20);

/// An interface whose packets a waiting thread can poll for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// At least one.
    pub napis: Vec<Napi>,
}

/// One of its receive queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Napi {
    /// What the kernel calls it, and `SO_INCOMING_NAPI_ID` says of a socket.
    pub id: u32,
    hold: Hold,
}

/// How long its interrupts are held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Hold {
    defer_hard_irqs: u32,
    gro_flush_timeout_ns: u64,
    /// `None` from a kernel that cannot suspend interrupts.
    irq_suspend_timeout_ns: Option<u64>,
}

/// The interfaces by which `listen` is reached, with what can be polled of each.
///
/// # Errors
/// A sentence where there is nothing to poll: the cause and the cure.
pub fn pollable(listen: SocketAddr) -> Result<Vec<Interface>, String> {
    let names = interfaces_behind(listen)?;
    let mut netdev = Netdev::open()?;
    let mut found = Vec::new();
    for name in &names {
        let index = sys::interface_index(name)
            .map_err(|error| format!("{name} is not there any more: {error}"))?;
        let napis = netdev.napis(index).map_err(|error| {
            format!("the kernel does not tell what can be polled of {name}: {error}")
        })?;
        if !napis.is_empty() {
            found.push(Interface { name: name.clone(), napis });
        }
    }
    if found.is_empty() { Err(nothing_to_poll(listen, &names)) } else { Ok(found) }
}

/// What the ready line says of `interfaces`: the numbers of the NAPIs of each.
#[must_use]
pub fn polled_details(interfaces: &[Interface]) -> Details {
    let mut polled = Details::new();
    for Interface { name, napis } in interfaces {
        let ids: Vec<u32> = napis.iter().map(|napi| napi.id).collect();
        polled.insert(name.clone(), ids.into());
    }
    let mut details = Details::new();
    details.insert("napi_ids".to_owned(), polled.into());
    details
}

/// Whether every interface by which `listen` is reached computes the checksums of what it sends, so
/// that nobody needs to read a body on its way. One that does not say, does not.
#[must_use]
pub fn computes_checksums(listen: SocketAddr) -> bool {
    let names = interfaces_behind(listen).unwrap_or_default();
    !names.is_empty() && names.iter().all(|name| sys::has_tx_checksum(name).unwrap_or(false))
}

fn interfaces_behind(listen: SocketAddr) -> Result<Vec<String>, String> {
    let ip = listen.ip();
    let addresses = sys::interface_addresses()
        .map_err(|error| format!("the interfaces cannot be listed: {error}"))?;
    let mut names: Vec<String> = Vec::new();
    for (name, address) in addresses {
        let serves = if ip.is_unspecified() { !address.is_loopback() } else { address == ip };
        if serves && !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() && ip.is_loopback() {
        names.push("lo".to_owned());
    }
    Ok(names)
}

fn nothing_to_poll(listen: SocketAddr, names: &[String]) -> String {
    let cure = match names {
        [name] if name == "lo" => {
            return format!(
                "{} is on the loopback interface, which is no device to poll: \
                 listen on another one's address, or use --wait spin",
                listen.ip()
            );
        }
        [name] => format!("a veth can be with ethtool -K {name} gro on; otherwise"),
        _ => "a veth can be with ethtool -K INTERFACE gro on; otherwise".to_owned(),
    };
    format!(
        "no interface of {} can be polled (no NAPI on {}): {cure} use --wait spin",
        listen.ip(),
        if names.is_empty() { "any".to_owned() } else { names.join(", ") }
    )
}

/// Interrupts of devices, held back until this is dropped.
#[derive(Debug)]
pub struct Suspension {
    netdev: Netdev,
    before: Vec<Napi>,
}

impl Suspension {
    /// Lets a thread that polls suspend the interrupts of `interfaces`, for at most `timeout`
    /// after its last poll.
    ///
    /// # Errors
    /// A sentence where the kernel or a device cannot do so: the cause and the cure.
    pub fn begin(interfaces: &[Interface], timeout: Duration) -> Result<Self, String> {
        for Interface { name, napis } in interfaces {
            // A kernel without the feature ignores nothing: it does not know the command.
            if napis.iter().any(|napi| napi.hold.irq_suspend_timeout_ns.is_none()) {
                return Err(format!(
                    "this kernel cannot suspend the interrupts of {name}: Linux 6.13 is needed \
                     (uname -r shows this one); use --wait busy-poll"
                ));
            }
            let on_a_bus = sys::bus_of(name).map_err(|error| {
                format!("the driver of {name} does not say what it is: {error}")
            })?;
            if on_a_bus.is_empty() {
                return Err(format!(
                    "{name} is no device on a bus and has no interrupts to suspend: \
                     use --wait busy-poll"
                ));
            }
        }
        let hold = Hold {
            defer_hard_irqs: SUSPENDED_DEFER,
            gro_flush_timeout_ns: nanoseconds(SUSPENDED_FLUSH),
            irq_suspend_timeout_ns: Some(nanoseconds(timeout)),
        };
        let mut suspension = Self { netdev: Netdev::open()?, before: Vec::new() };
        for Interface { name, napis } in interfaces {
            for napi in napis {
                suspension
                    .netdev
                    .set(Napi { id: napi.id, hold })
                    .map_err(|error| refusal(name, &error))?;
                suspension.before.push(*napi);
            }
        }
        Ok(suspension)
    }
}

impl Drop for Suspension {
    fn drop(&mut self) {
        for napi in std::mem::take(&mut self.before) {
            if let Err(error) = self.netdev.set(napi) {
                eprintln!(
                    "the interrupts of NAPI {} could not be given back their {:?}: {error}",
                    napi.id, napi.hold
                );
            }
        }
    }
}

fn refusal(name: &str, error: &io::Error) -> String {
    let cure = match error.raw_os_error() {
        Some(libc::EPERM) => "CAP_NET_ADMIN is needed: run as root, or use --wait busy-poll",
        Some(libc::EOPNOTSUPP) => "Linux 6.13 is needed (uname -r shows this one)",
        _ => "use --wait busy-poll",
    };
    format!("the interrupts of {name} cannot be suspended ({error}): {cure}")
}

/// As an integer; `--wait` bounds it to a second.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A socket that speaks to the kernel's `netdev` family.
#[derive(Debug)]
struct Netdev {
    socket: Socket,
    family: u16,
}

impl Netdev {
    fn open() -> Result<Self, String> {
        let connect = || {
            let mut socket = Socket::new(NETLINK_GENERIC)?;
            socket.bind_auto()?;
            socket.connect(&NetlinkAddr::new(0, 0))?;
            Ok(socket)
        };
        let mut socket =
            connect().map_err(|error: io::Error| format!("netlink cannot be spoken: {error}"))?;
        let family = family_id(&mut socket).map_err(|error| {
            format!(
                "this kernel does not tell what can be polled ({error}): Linux 6.8 is needed \
                 (uname -r shows this one); use --wait spin"
            )
        })?;
        Ok(Self { socket, family })
    }

    fn napis(&mut self, interface_index: u32) -> io::Result<Vec<Napi>> {
        let ask = GenlMessage::new(
            GenlHeader { cmd: NAPI_GET, version: 1 },
            Message::Napis { interface_index },
            self.family,
        );
        let answers = converse(&mut self.socket, ask, NLM_F_DUMP)?;
        let napis = answers.into_iter().filter_map(|answer| match answer {
            Message::Told(napi) => Some(napi),
            Message::Napis { .. } | Message::Set(_) => None,
        });
        Ok(napis.collect())
    }

    fn set(&mut self, napi: Napi) -> io::Result<()> {
        let header = GenlHeader { cmd: NAPI_SET, version: 1 };
        let ask = GenlMessage::new(header, Message::Set(napi), self.family);
        converse(&mut self.socket, ask, NLM_F_ACK).map(drop)
    }
}

/// The number that the kernel gave to `netdev` when it booted.
fn family_id(socket: &mut Socket) -> io::Result<u16> {
    let ask = GenlMessage::from_payload(GenlCtrl {
        cmd: GenlCtrlCmd::GetFamily,
        nlas: vec![GenlCtrlAttrs::FamilyName(Message::family_name().to_owned())],
    });
    let answers = converse(socket, ask, NLM_F_ACK)?;
    let attributes = answers.into_iter().flat_map(|answer| answer.nlas);
    attributes
        .filter_map(|attribute| match attribute {
            GenlCtrlAttrs::FamilyId(id) => Some(id),
            _ => None,
        })
        .next()
        .ok_or_else(|| io::ErrorKind::NotFound.into())
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

/// What is said to `netdev`, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Message {
    /// Which NAPIs has the interface?
    Napis { interface_index: u32 },
    /// Hold this one's interrupts back so.
    Set(Napi),
    /// The interface has this one.
    Told(Napi),
}

impl GenlFamily for Message {
    fn family_name() -> &'static str {
        "netdev"
    }

    fn command(&self) -> u8 {
        match self {
            Self::Napis { .. } | Self::Told(_) => NAPI_GET,
            Self::Set(_) => NAPI_SET,
        }
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Message {
    fn attributes(&self) -> Vec<DefaultNla> {
        let u32 = |kind, value: u32| DefaultNla::new(kind, value.to_ne_bytes().to_vec());
        let u64 = |kind, value: u64| DefaultNla::new(kind, value.to_ne_bytes().to_vec());
        match self {
            Self::Napis { interface_index } => vec![u32(IFINDEX, *interface_index)],
            Self::Set(Napi { id, hold }) | Self::Told(Napi { id, hold }) => {
                let mut attributes = vec![
                    u32(ID, *id),
                    u32(DEFER_HARD_IRQS, hold.defer_hard_irqs),
                    u64(GRO_FLUSH_TIMEOUT, hold.gro_flush_timeout_ns),
                ];
                let suspend = hold.irq_suspend_timeout_ns;
                attributes.extend(suspend.map(|ns| u64(IRQ_SUSPEND_TIMEOUT, ns)));
                attributes
            }
        }
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
    fn parse_with_param(bytes: &[u8], _: GenlHeader) -> Result<Self, DecodeError> {
        let mut napi = Napi::default();
        for attribute in NlasIterator::new(bytes) {
            let attribute = attribute?;
            let value = attribute.value();
            match attribute.kind() {
                ID => napi.id = parse_u32(value)?,
                DEFER_HARD_IRQS => napi.hold.defer_hard_irqs = parse_u32(value)?,
                GRO_FLUSH_TIMEOUT => napi.hold.gro_flush_timeout_ns = uint(value)?,
                IRQ_SUSPEND_TIMEOUT => napi.hold.irq_suspend_timeout_ns = Some(uint(value)?),
                _ => {}
            }
        }
        Ok(Self::Told(napi))
    }
}

/// Netlink's `uint`: four bytes where they suffice, otherwise eight.
fn uint(value: &[u8]) -> Result<u64, DecodeError> {
    if value.len() == 4 { parse_u32(value).map(u64::from) } else { parse_u64(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_is_refused_with_cause_and_cure() {
        for address in [([127, 0, 0, 1], 80), ([127, 8, 8, 8], 80)] {
            let message = pollable(address.into()).expect_err("it is no device");
            // Or a kernel that cannot tell.
            let cause = ["is no device to poll", "Linux 6.8 is needed"];
            assert!(cause.iter().any(|cause| message.contains(cause)), "{message}");
            assert!(message.contains("--wait spin"), "{message}");
        }
    }

    #[test]
    fn the_loopback_computes_checksums_and_an_unknown_address_does_not() {
        assert!(computes_checksums(([127, 0, 0, 1], 80).into()));
        assert!(!computes_checksums(([192, 0, 2, 1], 80).into()), "no interface has it (RFC 5737)");
    }

    #[test]
    fn interfaces_without_a_napi_are_named() {
        let (one, two) = ("eth7".to_owned(), "eth8".to_owned());
        let address = ([192, 0, 2, 1], 80).into();
        let message = nothing_to_poll(address, std::slice::from_ref(&one));
        assert!(message.contains("ethtool -K eth7 gro on"), "{message}");
        let message = nothing_to_poll(address, &[one, two]);
        assert!(message.contains("no NAPI on eth7, eth8"), "{message}");
    }

    #[test]
    fn what_is_said_of_a_napi_is_understood_with_short_and_long_integers() {
        let header = GenlHeader { cmd: NAPI_GET, version: 1 };
        let hold = Hold {
            defer_hard_irqs: 100,
            gro_flush_timeout_ns: 20_000,
            irq_suspend_timeout_ns: Some(20_000_000),
        };
        let said = Message::Told(Napi { id: 8193, hold });
        let mut bytes = vec![0; said.buffer_len()];
        said.emit(&mut bytes);
        assert_eq!(Message::parse_with_param(&bytes, header).expect("well-formed"), said);
        assert_eq!(uint(&7_u32.to_ne_bytes()).expect("four bytes"), 7);
        uint(&[0; 3]).expect_err("neither four nor eight");
        // An older kernel says nothing of suspension.
        let short = DefaultNla::new(ID, 5_u32.to_ne_bytes().to_vec());
        let mut bytes = vec![0; 8];
        [short].as_slice().emit(&mut bytes);
        let told = Message::parse_with_param(&bytes, header).expect("well-formed");
        assert_eq!(told, Message::Told(Napi { id: 5, hold: Hold::default() }));
    }

    #[test]
    fn a_refused_suspension_names_the_cure() {
        let check = |errno: i32, part: &str| {
            let message = refusal("eth7", &io::Error::from_raw_os_error(errno));
            assert!(message.contains(part) && message.contains("eth7"), "{message}");
        };
        check(libc::EPERM, "CAP_NET_ADMIN");
        check(libc::EOPNOTSUPP, "6.13");
        check(libc::EINVAL, "--wait busy-poll");
    }
}
