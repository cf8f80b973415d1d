//! The App that answers HTTP and echo from the userspace stack, and its run loop.
