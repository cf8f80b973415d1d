//! Queue over AF_XDP, on raw system calls.
