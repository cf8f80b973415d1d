//! What drivers of mainline Linux have for XDP, for kernels that do not tell (before 6.3).
//!
//! From the kernel's history: the release in which a driver learned `ndo_bpf` and `XDP_REDIRECT`,
//! and the one in which it learned `XSK_ZEROCOPY`. Backports of distributions are not known here.

/// A driver's name, whether XDP programs run in it, and since which kernel AF_XDP needs no copy.
type Driver = (&'static str, Option<(u32, u32)>);

/// Drivers in which XDP programs run and can redirect, by their names in `/sys`: `vif` is Xen's,
/// `intel-eth-pci` one of those on stmmac.
const NATIVE: [Driver; 33] = [
    ("atlantic", None),
    ("bnxt_en", None),
    ("ena", None),
    ("fec", None),
    ("fsl_dpa", None),
    ("fsl_dpaa2_eth", Some((6, 2))),
    ("fsl_enetc", None),
    ("gve", Some((6, 4))),
    ("hv_netvsc", None),
    ("i40e", Some((4, 20))),
    ("ice", Some((5, 5))),
    ("igb", Some((6, 14))),
    ("igc", Some((5, 14))),
    ("intel-eth-pci", Some((5, 13))),
    ("ionic", None),
    ("ixgbe", Some((4, 20))),
    ("mana", None),
    ("mlx4_core", None),
    ("mlx5_core", Some((5, 3))),
    ("mtk_soc_eth", None),
    ("mvneta", None),
    ("mvpp2", None),
    ("netsec", None),
    ("nfp", Some((5, 18))),
    ("qede", None),
    ("rvu_nicpf", Some((6, 15))),
    ("sfc", None),
    ("tsnep", Some((6, 4))),
    ("tun", None),
    ("veth", None),
    ("vif", None),
    ("virtio_net", Some((6, 11))),
    ("vmxnet3", None),
];

/// What is known of a driver under a kernel: native XDP, and AF_XDP without a copy.
pub(super) fn known(driver: &str, kernel: (u32, u32)) -> (bool, bool) {
    match NATIVE.iter().find(|(name, _)| *name == driver) {
        Some((_, zero_copy)) => (true, zero_copy.is_some_and(|since| kernel >= since)),
        None => (false, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_is_judged_by_the_kernel_it_is_in() {
        assert_eq!(known("ixgbe", (5, 10)), (true, true));
        assert_eq!(known("igb", (6, 1)), (true, false));
        assert_eq!(known("igb", (6, 14)), (true, true));
        assert_eq!(known("veth", (6, 18)), (true, false));
        assert_eq!(known("e1000e", (6, 18)), (false, false));
    }
}
