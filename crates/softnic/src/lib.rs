//! The software NIC: vhost-user sessions and the workers that serve them.
