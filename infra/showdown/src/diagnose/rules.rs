//! The causes that a folder can prove, as one table.

use super::evidence::{Case, as_f64};
use crate::client_limit::ClientLimit;

/// What a cause is, which decides about its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tier {
    /// Something is wrong, and can be put right here.
    Fault,
    /// Something other than the server was the limit.
    Limit,
    /// Something lowers what can be reached here, and belongs to this link or machine.
    Place,
}

/// What was found in a cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finding {
    /// The numbers of this run, in words.
    pub(super) evidence: String,
    /// How much it may explain, 0 to 1: it orders causes of one tier.
    pub(super) weight: f64,
}

/// A cause and the test for it.
#[derive(Debug)]
pub(super) struct Rule {
    /// Its name.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) tier: Tier,
    /// What it does, a sentence without the full stop.
    pub(super) says: &'static str,
    /// What cures it.
    pub(super) cure: &'static str,
    /// Finds it in a cell, or does not.
    pub(super) check: fn(&Case<'_>) -> Option<Finding>,
}

/// Every cause, in the order in which those of one tier and weight are named.
pub(super) const RULES: [Rule; 14] = [
    Rule {
        name: "shared core",
        tier: Tier::Fault,
        says: "server and generator ran on one core, or on two threads of one, so that each had \
               half of it; a server that polls takes all that it is given",
        cure: "give the run two whole cores: taskset -c 0,1 (lscpu -e shows which CPUs share a \
               core), or switch SMT off",
        check: shared_core,
    },
    Rule {
        name: "generic attach",
        tier: Tier::Fault,
        says: "the XDP program ran in the generic hook, after the kernel had made a socket \
               buffer of each frame",
        cure: "run server-xdp with --attach native, which says why it cannot be had; 'showdown \
               doctor' names interfaces whose driver runs XDP",
        check: generic_attach,
    },
    Rule {
        name: "frames lost",
        tier: Tier::Fault,
        says: "frames found no room in the server's memory and were dropped, and each waited for \
               a retransmission",
        cure: "give server-xdp more room (--rx-ring 32768 --frames 65536), or have fewer \
               requests on the way at once",
        check: frames_lost,
    },
    Rule {
        name: "interrupt deferral on veth",
        tier: Tier::Fault,
        says: "interrupts of a veth interface are deferred, so that frames wait for a timer",
        cure: "write 0 to /sys/class/net/INTERFACE/napi_defer_hard_irqs and gro_flush_timeout: \
               they are right on a network card, and on veth only delay",
        check: deferral,
    },
    Rule {
        name: "transmit delayed",
        tier: Tier::Fault,
        says: "the kernel put off what the server wanted to send",
        cure: "use an interface with a queue that nobody else sends on, or raise --tx-ring; with \
               a network card, look for --copy zero-copy, which needs no system call to send",
        check: transmit_delayed,
    },
    Rule {
        name: "steal",
        tier: Tier::Fault,
        says: "the hypervisor gave the CPUs to others while it was measured; a server that polls \
               loses all of that time, one that sleeps may not notice",
        cure: "run on a machine of its own, or when its neighbours are quiet; lower \
               steal_share_max in the experiment",
        check: steal,
    },
    Rule {
        name: "copy mode",
        tier: Tier::Fault,
        says: "AF_XDP copied every frame between the kernel's memory and the server's, though the \
               interface is a device that might do without",
        cure: "run server-xdp with --copy zero-copy, which says why it cannot be had; 'showdown \
               doctor' names interfaces whose driver has it",
        check: copy_on_device,
    },
    Rule {
        name: "client was the limit",
        tier: Tier::Limit,
        says: "the generator could not ask for more, so that every server that is fast enough \
               looks alike",
        cure: "bypass the kernel in the client, too (showdown run bypass-both-ends), or give the \
               generator more cores (-t) or a machine of its own",
        check: client_limited,
    },
    Rule {
        name: "link was the limit",
        tier: Tier::Limit,
        says: "the link carries hardly more with no stack on it at all",
        cure: "measure over a faster link: memif, or a network card with zero-copy",
        check: link_limited,
    },
    Rule {
        name: "soft interrupts on the server's core",
        tier: Tier::Limit,
        says: "the server's core did the kernel's work: on veth the sender's core also receives, \
               up to the other end's socket or ring",
        cure: "move it (softirq = \"rps\" in the experiment), or bypass the kernel in the client, \
               too; with a network card, bind its interrupts to other cores (showdown tune)",
        check: softirq_on_server_core,
    },
    Rule {
        name: "one queue",
        tier: Tier::Limit,
        says: "the server had one of several queues of the interface, and was busy all the time",
        cure: "run server-xdp with --queues N and as many --cpus, or make the interface have one \
               queue: ethtool -L INTERFACE combined 1",
        check: one_queue,
    },
    Rule {
        name: "software checksums",
        tier: Tier::Place,
        says: "the server computes and checks every checksum itself; so do the kernel's servers \
               on this link, which can leave it to the device elsewhere",
        cure: "a network card with checksum offload that the driver offers to AF_XDP or DPDK",
        check: software_checksums,
    },
    Rule {
        name: "copy mode of veth",
        tier: Tier::Place,
        says: "AF_XDP on veth copies every frame and allocates a socket buffer for each that is \
               sent: this is the least that bypass can bring",
        cure: "measure on a network card with zero-copy, or over memif, which leaves the kernel \
               out",
        check: copy_on_veth,
    },
    Rule {
        name: "virtual machine",
        tier: Tier::Place,
        says: "waking an idle core costs more here than on bare metal, and times vary more: \
               absolute figures say little, ratios within a run say more",
        cure: "run on bare metal, and compare: showdown compare",
        check: virtual_machine,
    },
];

/// Shares from which on something is called a cause.
mod bound {
    /// Frames lost of those received.
    pub(super) const LOST: f64 = 0.001;
    /// Kicks that were put off.
    pub(super) const DELAYED: f64 = 0.01;
    /// CPU time that the hypervisor took.
    pub(super) const STEAL: f64 = 0.02;
    /// Of what the link carries.
    pub(super) const LINK: f64 = 0.85;
    /// CPU time of the server's core in interrupts.
    pub(super) const SOFTIRQ: f64 = 0.2;
    /// Polls of a server that found nothing, above which it waits for work.
    pub(super) const IDLE: f64 = 0.2;
}

fn finding(weight: f64, evidence: String) -> Option<Finding> {
    Some(Finding { evidence, weight: weight.clamp(0.0, 1.0) })
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn shared_core(case: &Case<'_>) -> Option<Finding> {
    let environment = case.environment;
    let (server, client) = (environment.server_cpu, environment.client_cpu);
    if server == client {
        return finding(1.0, format!("both ran on CPU {server}"));
    }
    let siblings = environment.server_cpu_siblings.as_deref()?;
    let shared = crate::environment::parse_cpu_list(siblings)?.contains(&client);
    let evidence = || format!("CPU {server} and CPU {client} are threads of one core ({siblings})");
    shared.then(|| finding(1.0, evidence()))?
}

fn generic_attach(case: &Case<'_>) -> Option<Finding> {
    let generic = case.obtained("attach")? == "generic";
    generic.then(|| finding(0.9, "the ready line has \"attach\":\"generic\"".to_owned()))?
}

fn frames_lost(case: &Case<'_>) -> Option<Finding> {
    const LOST: [&str; 3] =
        ["kernel_rx_dropped_frames", "kernel_rx_ring_full_frames", "port_imissed_packets"];
    const WITHOUT: [&str; 3] = ["rx_starved_refills", "alloc_refusals", "tx_no_frame_polls"];
    let (received, lost) = (case.counter("rx_frames"), case.counters(&LOST));
    let share = as_f64(lost) / as_f64(received + lost).max(1.0);
    let counted = |names: &[&str]| -> String {
        let counters = names.iter().map(|name| (name, case.counter(name)));
        let some = counters.filter(|(_, count)| *count > 0);
        some.map(|(name, count)| format!(", {name} {count}")).collect()
    };
    let evidence = || {
        format!(
            "{lost} of {} frames were dropped ({}){}{}",
            received + lost,
            percent(share),
            counted(&LOST),
            counted(&WITHOUT)
        )
    };
    (share >= bound::LOST).then(|| finding(0.5 + share, evidence()))?
}

fn deferral(case: &Case<'_>) -> Option<Finding> {
    let end = case.server_end()?;
    let hard_irqs = case.knob("napi_defer_hard_irqs")?;
    let timeout_ns = case.knob("gro_flush_timeout")?;
    let evidence = || {
        format!(
            "{} has napi_defer_hard_irqs {hard_irqs} and gro_flush_timeout {timeout_ns} ns",
            end.interface
        )
    };
    (hard_irqs > 0 && timeout_ns > 0).then(|| finding(1.0, evidence()))?
}

fn transmit_delayed(case: &Case<'_>) -> Option<Finding> {
    const REFUSED: [&str; 3] = ["tx_again_errors", "tx_busy_errors", "tx_no_buffer_errors"];
    let (kicks, refused) = (case.counter("tx_kicks"), case.counters(&REFUSED));
    let full = case.counter("tx_ring_full_polls");
    let share = as_f64(refused + full) / as_f64(kicks).max(1.0);
    let evidence = || {
        format!(
            "of {kicks} system calls that asked the kernel to send, {refused} were put off ({}); \
             the transmit ring was full at {full} polls",
            REFUSED.map(|name| format!("{name} {}", case.counter(name))).join(", ")
        )
    };
    (kicks > 0 && share >= bound::DELAYED).then(|| finding(share, evidence()))?
}

fn steal(case: &Case<'_>) -> Option<Finding> {
    let share = case.mean(|of| of.cpu.steal_share);
    let evidence = || format!("{} of the two CPUs' time was taken away", percent(share));
    (share >= bound::STEAL).then(|| finding(share, evidence()))?
}

/// Whether frames of AF_XDP were copied, and on what driver. Shared memory is always copied from.
fn copied_on(case: &Case<'_>) -> Option<&'static str> {
    case.obtained("attach")?;
    let copied = case.obtained("copy")? == "copy";
    let driver = if case.obtained("kernel_driver") == Some("veth") { "veth" } else { "device" };
    copied.then_some(driver)
}

fn copy_on_device(case: &Case<'_>) -> Option<Finding> {
    let driver = case.obtained("kernel_driver").unwrap_or("an unknown driver");
    let evidence = || format!("the ready line has \"copy\":\"copy\" on {driver}");
    (copied_on(case)? == "device").then(|| finding(0.6, evidence()))?
}

fn copy_on_veth(case: &Case<'_>) -> Option<Finding> {
    let evidence = || "the ready line has \"copy\":\"copy\" on veth".to_owned();
    (copied_on(case)? == "veth").then(|| finding(0.6, evidence()))?
}

fn client_limited(case: &Case<'_>) -> Option<Finding> {
    let limit = ClientLimit::of(&case.measurements, case.environment.client_cpu);
    let idle = case.mean_of_some(|of| of.idle_poll_share);
    let waited = idle.map_or_else(String::new, |share| {
        format!("; the server found nothing to do at {} of its polls", percent(share))
    });
    let evidence = || {
        format!(
            "the generator said so in {} of {} rounds, and its core was busy {} of the \
             time{waited}",
            limit.said,
            limit.rounds,
            percent(limit.busy_share)
        )
    };
    limit.is_limit().then(|| finding(limit.busy_share, evidence()))?
}

fn link_limited(case: &Case<'_>) -> Option<Finding> {
    let share = case.figures.figures.share_of_floor?.median;
    let evidence = || format!("it reached {} of the link's floor", percent(share));
    (share >= bound::LINK).then(|| finding(share, evidence()))?
}

fn softirq_on_server_core(case: &Case<'_>) -> Option<Finding> {
    let cpu = case.environment.server_cpu;
    let share = case.share_of_cpu(cpu, |time| time.softirq_s + time.irq_s);
    let evidence =
        || format!("{} of CPU {cpu} went to interrupts and soft interrupts", percent(share));
    (share >= bound::SOFTIRQ).then(|| finding(share, evidence()))?
}

fn one_queue(case: &Case<'_>) -> Option<Finding> {
    let used = case.obtained_count("queues")?;
    let there = case.knob("rx_queues")?;
    let idle = case.mean_of_some(|of| of.idle_poll_share)?;
    let evidence = || {
        format!(
            "{used} of {there} receive queues were bound, and the server found nothing to do at \
             only {} of its polls",
            percent(idle)
        )
    };
    (used < there && idle < bound::IDLE).then(|| finding(1.0 - idle, evidence()))?
}

fn software_checksums(case: &Case<'_>) -> Option<Finding> {
    let end = case.server_end()?;
    let off = |name: &str| end.offloads.get(name).is_some_and(|value| value.starts_with("off"));
    let evidence = || format!("{} has tx-checksumming off", end.interface);
    off("tx-checksumming").then(|| finding(0.3, evidence()))?
}

fn virtual_machine(case: &Case<'_>) -> Option<Finding> {
    let model = case.environment.cpu_model.as_deref().unwrap_or("the CPU");
    let evidence = || format!("{model} says that it is a hypervisor's");
    case.environment.virtual_machine.then(|| finding(0.1, evidence()))?
}
