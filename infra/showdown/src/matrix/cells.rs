//! From axes to cells: every combination that can be, and a reason for each that cannot.

use super::{Point, Subject};
use crate::contender::{CONTENDER, Contender};
use crate::experiment::axes::PLAINTEXT;
use crate::experiment::{Axes, Experiment, Mode, Offloads, Service, Step, Tcp, Wait};
use crate::reach::{self, Link, Transport};
use record::Cell;
use std::sync::Arc;

/// The values of the axes that belong to a server.
#[derive(Clone, Debug)]
struct Server {
    subject: Subject,
    tcp: Option<Tcp>,
    wait: Option<Wait>,
    args: Vec<String>,
    counted: bool,
    /// What the experiment calls it: a step, or a contender.
    name: Option<String>,
    step: Option<usize>,
}

/// What a server is asked for.
#[derive(Clone, Debug)]
struct Load {
    service: Service,
    connections: u64,
    path: String,
    payload_bytes: Option<u64>,
    pipeline: u64,
    rate_rps: Option<u64>,
}

/// The cells of a matrix while they are put together.
pub(super) struct Cells<'a> {
    experiment: &'a Experiment,
    open_files: u64,
    points: Vec<Point>,
    left_out: Vec<LeftOut>,
}

/// Combinations that cannot be, for one reason.
struct LeftOut {
    /// Whose they are.
    who: Vec<String>,
    /// Which: `with 1000 connections`.
    what: String,
    why: String,
}

impl<'a> Cells<'a> {
    /// None yet.
    pub(super) fn new(experiment: &'a Experiment, open_files: u64) -> Self {
        Self { experiment, open_files, points: Vec::new(), left_out: Vec::new() }
    }

    /// The points, and a sentence for each reason to leave some out.
    pub(super) fn finish(self) -> (Vec<Point>, Vec<String>) {
        let sentence =
            |LeftOut { who, what, why }: LeftOut| format!("{} {what}: {why}", who.join(", "));
        (self.points, self.left_out.into_iter().map(sentence).collect())
    }

    /// Adds the cells of one mode.
    pub(super) fn add_mode(&mut self, mode: Mode) {
        let axes = &self.experiment.axes;
        for tcp in tcp_values(mode, axes) {
            for wait in wait_values(mode, axes) {
                let (args, name) = (Vec::new(), None);
                let subject = Subject::Server(mode);
                let server = Server { subject, tcp, wait, args, counted: false, name, step: None };
                self.add(&server, &axes.transport);
            }
        }
    }

    /// Adds the cell of a step.
    pub(super) fn add_step(&mut self, index: usize, step: &Step) {
        let axes = &self.experiment.axes;
        let mode = step.mode;
        let server = Server {
            subject: Subject::Server(mode),
            tcp: step.tcp.or_else(|| tcp_values(mode, axes)[0]),
            wait: step.wait.or_else(|| wait_values(mode, axes)[0]),
            args: step.server_args.clone(),
            counted: step.counted,
            name: Some(step.name.clone()),
            step: Some(index),
        };
        self.add(&server, &[step.transport.unwrap_or(axes.transport[0])]);
    }

    /// Adds the cells of a contender.
    pub(super) fn add_contender(&mut self, contender: &Contender) {
        let server = Server {
            subject: Subject::Contender(Arc::new(contender.clone())),
            tcp: None,
            wait: None,
            args: Vec::new(),
            counted: false,
            name: Some(contender.name.clone()),
            step: None,
        };
        self.add(&server, &self.experiment.axes.transport);
    }

    fn add(&mut self, server: &Server, transports: &[Transport]) {
        for &transport in transports {
            let links = reach::links(server.mode(), transport, self.experiment.topology);
            let links: Vec<Link> = links.collect();
            if links.is_empty() {
                let what = format!("by the {transport} client");
                self.leave_out(server, what, "no link joins them".to_owned());
            }
            for link in links {
                self.add_on_link(server, transport, link);
            }
        }
    }

    fn add_on_link(&mut self, server: &Server, transport: Transport, link: Link) {
        if let Some(wait) = server.wait
            && let Some(why) = reach::refuses_wait(server.mode(), wait, link)
        {
            self.leave_out(server, format!("with wait {wait}"), why.to_owned());
            return;
        }
        let axes = &self.experiment.axes;
        for &offloads in &axes.offloads {
            if offloads == Offloads::On && !can_offload(server, transport, link) {
                let why = "only kernels at both ends of a veth finish what is left to an offload";
                self.leave_out(server, "with offloads on".to_owned(), why.to_owned());
                continue;
            }
            for load in loads(axes) {
                match self.refusal(server, transport, &load) {
                    Some((what, why)) => self.leave_out(server, what, why),
                    None => self.points.push(point(server, transport, link, offloads, &load)),
                }
            }
        }
    }

    /// Why a load cannot be put on a server, and which load that is.
    fn refusal(
        &self,
        server: &Server,
        transport: Transport,
        load: &Load,
    ) -> Option<(String, String)> {
        let most = Most::of(server.mode(), transport, self.experiment, self.open_files);
        let Load { service, connections, payload_bytes, pipeline, rate_rps, path } = load;
        if *connections > most.connections {
            return Some((format!("with {connections} connections"), most.why));
        }
        let refuse = |what: String, why: &str| Some((what, why.to_owned()));
        if matches!(server.subject, Subject::Contender(_)) {
            let one = "a contender is asked for one path, that of its address";
            if let Some(payload_bytes) = payload_bytes {
                return refuse(format!("with a payload of {payload_bytes} bytes"), one);
            }
            if path != PLAINTEXT {
                return refuse(format!("with path {path}"), one);
            }
            if *service == Service::Echo {
                return refuse("with service echo".to_owned(), "a contender answers HTTP");
            }
        }
        if *service == Service::Http {
            return None;
        }
        if transport != Transport::Epoll {
            let why = "a ping-pong goes over the kernel's sockets, as the epoll client does";
            return refuse(format!("with service echo by the {transport} client"), why);
        }
        if *connections != 1 {
            let what = format!("with service echo and {connections} connections");
            return refuse(what, "a ping-pong has one");
        }
        if *pipeline != 1 || rate_rps.is_some() {
            let what = "with service echo, a pipeline or a rate".to_owned();
            return refuse(what, "a ping-pong sends one message when it has the one before");
        }
        None
    }

    fn leave_out(&mut self, server: &Server, what: String, why: String) {
        let name = server.label();
        let same = self.left_out.iter_mut().find(|left| left.what == what && left.why == why);
        match same {
            Some(left) if left.who.contains(&name) => {}
            Some(left) => left.who.push(name),
            None => self.left_out.push(LeftOut { who: vec![name], what, why }),
        }
    }
}

impl Server {
    /// The mode whose links and bounds it has: a contender is a server on the kernel's TCP.
    fn mode(&self) -> Mode {
        match self.subject {
            Subject::Server(mode) => mode,
            Subject::Contender(_) | Subject::Floor => Mode::Epoll,
        }
    }

    fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.mode().name().to_owned())
    }
}

/// Every load that the axes make.
fn loads(axes: &Axes) -> Vec<Load> {
    let rates: Vec<Option<u64>> = match axes.rate.as_slice() {
        [] => vec![None],
        rates => rates.iter().copied().map(Some).collect(),
    };
    let bodies: Vec<(String, Option<u64>)> = match axes.payload.as_slice() {
        [] => axes.path.iter().map(|path| (path.clone(), None)).collect(),
        bytes => bytes.iter().map(|bytes| (format!("/bytes/{bytes}"), Some(*bytes))).collect(),
    };
    let mut loads = Vec::new();
    for &service in &axes.service {
        for &connections in &axes.connections {
            for (path, payload_bytes) in &bodies {
                for &pipeline in &axes.pipeline {
                    loads.extend(rates.iter().map(|&rate_rps| Load {
                        service,
                        connections,
                        path: path.clone(),
                        payload_bytes: *payload_bytes,
                        pipeline,
                        rate_rps,
                    }));
                }
            }
        }
    }
    loads
}

fn point(
    server: &Server,
    transport: Transport,
    link: Link,
    offloads: Offloads,
    load: &Load,
) -> Point {
    let is_echo = load.service == Service::Echo;
    let (mode, path) = match &server.subject {
        Subject::Contender(contender) => (CONTENDER, contender.path().to_owned()),
        // An echo has messages, and no path.
        _ if is_echo => (server.mode().name(), String::new()),
        _ => (server.mode().name(), load.path.clone()),
    };
    let cell = Cell {
        mode: mode.to_owned(),
        tcp: server.tcp.map(|tcp| tcp.name().to_owned()),
        wait: server.wait.map(|wait| wait.to_string()),
        link: Some(link.name().to_owned()),
        transport: Some(transport.name().to_owned()),
        connections: load.connections,
        path,
        name: server.name.clone(),
        payload_bytes: load.payload_bytes,
        pipeline: Some(load.pipeline).filter(|depth| *depth > 1),
        rate_rps: load.rate_rps,
        service: is_echo.then(|| load.service.name().to_owned()),
        offloads: recorded_offloads(server, link, offloads),
    };
    Point {
        subject: server.subject.clone(),
        link,
        transport: Some(transport),
        cell,
        server_args: server.args.clone(),
        counted: server.counted,
        step: server.step,
        baseline: 0,
        floor: None,
    }
}

/// Frames whose checksums are left to the receiver's offload are damaged ones to a queue of ours.
fn can_offload(server: &Server, transport: Transport, link: Link) -> bool {
    link == Link::Veth && !server.mode().is_bypass() && !transport.is_bypass()
}

/// What is on of the veth pair: all of it, the server's GRO where the kernel shall poll the
/// interface, which it can only then, or nothing.
fn recorded_offloads(server: &Server, link: Link, offloads: Offloads) -> Option<String> {
    let polls = matches!(server.wait, Some(Wait::BusyPoll(_))) && link == Link::Veth;
    match offloads {
        Offloads::On => Some(offloads.name().to_owned()),
        Offloads::Off if polls => Some(GRO.to_owned()),
        Offloads::Off => None,
    }
}

/// In the record, where only the server's GRO is on.
pub(crate) const GRO: &str = "gro";

/// The most connections of a mode and a transport.
struct Most {
    connections: u64,
    why: String,
}

impl Most {
    fn of(mode: Mode, transport: Transport, experiment: &Experiment, open_files: u64) -> Self {
        let (connections, bound) = reach::connections_max(mode, transport, open_files);
        match experiment.connections_max.get(&mode) {
            Some(&own) if own < connections => {
                Self { connections: own, why: format!("the experiment gives it {own} at most") }
            }
            _ => Self { connections, why: bound.to_string() },
        }
    }
}

/// The values of the axis tcp that a mode has; one that is none where it cannot choose.
pub(super) fn tcp_values(mode: Mode, axes: &Axes) -> Vec<Option<Tcp>> {
    if mode.is_bypass() { axes.tcp.iter().copied().map(Some).collect() } else { vec![None] }
}

/// The values of the axis wait that a mode has; one that is none where it cannot choose.
pub(super) fn wait_values(mode: Mode, axes: &Axes) -> Vec<Option<Wait>> {
    if mode.has_wait() { axes.wait.iter().copied().map(Some).collect() } else { vec![None] }
}
