//! smoltcp as a client: a peer that behaves, retransmits and verifies.

use super::{CLIENT, CLIENT_MAC, SERVER, TestTcp, World};
use sim::Port;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, Ipv4Cidr};
use std::time::Duration;

/// A client host with one connection.
pub struct Client {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
}

impl Client {
    /// A client that begins to connect.
    pub fn new<T: TestTcp>(world: &mut World<T>, port: u16) -> Self {
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(CLIENT_MAC)));
        config.random_seed = u64::from(port);
        let mut device = Wire(&mut world.port);
        let mut interface = Interface::new(config, &mut device, SmolInstant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::Ipv4(Ipv4Cidr::new(CLIENT, 16))).expect("room");
        });
        let buffer = || SocketBuffer::new(vec![0; 65_535]);
        let mut socket = Socket::new(buffer(), buffer());
        let server = (IpAddress::Ipv4(*SERVER.ip()), SERVER.port());
        socket.connect(interface.context(), server, port).expect("a fresh socket connects");
        let mut sockets = SocketSet::new(vec![]);
        let handle = sockets.add(socket);
        Self { interface, sockets, handle }
    }

    pub fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// Lets both ends act, then time pass to where either of them has something to do.
    pub fn step<T: TestTcp>(&mut self, world: &mut World<T>) {
        let now = SmolInstant::from_micros(
            i64::try_from(world.clock.now().as_nanos() / 1000).expect("a small number"),
        );
        self.interface.poll(now, &mut Wire(&mut world.port), &mut self.sockets);
        world.poll();
        world.clock.advance(Duration::from_micros(50));
    }

    /// Sends all of `body`, closes, and returns all that comes back until the server closes.
    ///
    /// # Panics
    /// If that takes more than `steps`.
    pub fn exchange<T: TestTcp>(
        &mut self,
        world: &mut World<T>,
        body: &[u8],
        steps: usize,
    ) -> Vec<u8> {
        let mut sent = 0;
        let mut received = Vec::new();
        for _ in 0..steps {
            let socket = self.socket();
            if socket.can_send() && sent < body.len() {
                sent += socket.send_slice(&body[sent..]).expect("it can send");
                if sent == body.len() {
                    socket.close();
                }
            }
            while socket.can_recv() {
                socket.recv(|bytes| (bytes.len(), received.extend_from_slice(bytes))).expect("can");
            }
            if sent == body.len() && !socket.may_recv() {
                return received;
            }
            self.step(world);
        }
        let state = self.socket().state();
        let counters = world.counters();
        let received = received.len();
        panic!(
            "not done after {steps} steps: sent {sent}, received {received}, {state}, {counters:?}"
        );
    }
}

/// The port as a device of smoltcp.
struct Wire<'a>(&'a mut Port);

struct Packet(Vec<u8>);
struct Out<'a>(&'a mut Port);

impl Device for Wire<'_> {
    type RxToken<'b>
        = Packet
    where
        Self: 'b;
    type TxToken<'b>
        = Out<'b>
    where
        Self: 'b;

    fn receive(&mut self, _: SmolInstant) -> Option<(Packet, Out<'_>)> {
        let mut packet = Vec::new();
        self.0.take(|bytes| packet.extend_from_slice(bytes)).then_some(())?;
        Some((Packet(packet), Out(self.0)))
    }

    fn transmit(&mut self, _: SmolInstant) -> Option<Out<'_>> {
        Some(Out(self.0))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

impl RxToken for Packet {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, receive: F) -> R {
        receive(&self.0)
    }
}

impl TxToken for Out<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, emit: F) -> R {
        let mut packet = vec![0; len];
        let result = emit(&mut packet);
        self.0.send(&packet);
        result
    }
}
