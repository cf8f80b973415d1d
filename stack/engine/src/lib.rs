//! ARP, IPv4, ICMP, demultiplexing, connection table, timers and poll over any Queue.
