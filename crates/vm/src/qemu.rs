//! A machine as arguments of QEMU (`qemu-system-x86_64`, 7.0 and later).

use crate::machine::{Accelerator, Machine, Nic, Primary, Ring};

/// The program.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// What the standby device and its primary are called, beside the NIC's own name.
#[must_use]
pub fn primary_id(nic: &Nic) -> String {
    format!("{}-vf", nic.id)
}

/// The arguments, without the program. The console is the terminal's, the control protocol on
/// [`Machine::control`].
#[must_use]
pub fn arguments(machine: &Machine) -> Vec<String> {
    let mut arguments = Arguments(Vec::new());
    arguments.machine(machine);
    arguments.boot(machine);
    for (at, nic) in (1..).zip(&machine.nics) {
        arguments.nic(at, nic);
    }
    arguments.0
}

/// The `device_add` that plugs a NIC's primary back while the machine runs; its arguments as QMP
/// wants them. None for a NIC without one.
#[must_use]
pub fn plug_primary(nic: &Nic) -> Option<serde_json::Value> {
    let properties = primary_properties(nic)?;
    let pairs = properties
        .into_iter()
        .map(|(name, value)| (name.to_owned(), serde_json::Value::String(value)));
    Some(serde_json::Value::Object(pairs.collect()))
}

struct Arguments(Vec<String>);

impl Arguments {
    fn add(&mut self, name: &str, value: impl Into<String>) {
        self.0.extend([name.to_owned(), value.into()]);
    }

    fn machine(&mut self, machine: &Machine) {
        let accelerator = match machine.accelerator {
            Accelerator::Kvm => "kvm",
            Accelerator::Tcg => "tcg",
        };
        let processor = match machine.accelerator {
            Accelerator::Kvm => "host",
            Accelerator::Tcg => "max",
        };
        let memory = machine.memory_mib;
        self.add("-name", format!("guest={}", escape(&machine.name)));
        self.add(
            "-machine",
            format!("q35,accel={accelerator},memory-backend=ram"),
        );
        self.add("-cpu", processor);
        self.add("-smp", machine.processors.to_string());
        self.add("-m", format!("{memory}M"));
        // Shared, because the agent serves the queues in the guest's memory.
        self.add(
            "-object",
            format!("memory-backend-memfd,id=ram,size={memory}M,share=on"),
        );
        self.0.push("-nodefaults".to_owned());
        self.add("-display", "none");
        self.add("-chardev", "stdio,id=console,signal=off,mux=off");
        self.add("-serial", "chardev:console");
        let control = escape(&machine.control.to_string_lossy());
        self.add(
            "-chardev",
            format!("socket,id=control,path={control},server=on,wait=off"),
        );
        self.add("-mon", "chardev=control,mode=control");
    }

    fn boot(&mut self, machine: &Machine) {
        let Some(boot) = &machine.boot else {
            return;
        };
        self.add("-kernel", boot.kernel.to_string_lossy());
        if let Some(initrd) = &boot.initrd {
            self.add("-initrd", initrd.to_string_lossy());
        }
        if !boot.command_line.is_empty() {
            self.add("-append", boot.command_line.clone());
        }
    }

    /// A root port for each device, so that it can be unplugged; ports are numbered from one.
    fn nic(&mut self, at: usize, nic: &Nic) {
        let id = &nic.id;
        let socket = escape(&nic.socket.to_string_lossy());
        self.add(
            "-chardev",
            format!("socket,id={id}-agent,path={socket},server=on,wait=off"),
        );
        self.add(
            "-netdev",
            format!(
                "vhost-user,id={id}-queues,chardev={id}-agent,queues={}",
                nic.queue_pairs
            ),
        );
        self.root_port(&format!("{id}-port"), 2 * at - 1);
        self.add("-device", device(nic));
        if let Some(Primary::Emulated { tap }) = &nic.primary {
            let tap = escape(tap);
            self.add(
                "-netdev",
                format!("tap,id={id}-tap,ifname={tap},script=no,downscript=no"),
            );
        }
        if let Some(properties) = primary_properties(nic) {
            self.root_port(&format!("{id}-vf-port"), 2 * at);
            let pairs = properties
                .iter()
                .map(|(name, value)| match *name {
                    "driver" => value.clone(),
                    _ => format!("{name}={value}"),
                })
                .collect::<Vec<_>>();
            self.add("-device", pairs.join(","));
        }
    }

    fn root_port(&mut self, id: &str, number: usize) {
        self.add(
            "-device",
            format!("pcie-root-port,id={id},bus=pcie.0,chassis={number},slot={number}"),
        );
    }
}

fn device(nic: &Nic) -> String {
    let (id, mac, size) = (&nic.id, nic.mac, nic.queue_size);
    let mut device = format!(
        "virtio-net-pci,id={id},bus={id}-port,netdev={id}-queues,mac={mac},\
         rx_queue_size={size},tx_queue_size={size}"
    );
    let pairs = nic.queue_pairs.get();
    if pairs > 1 {
        // One for each queue, one for the configuration, one for the control queue.
        let vectors = 2 * u32::from(pairs) + 2;
        device += &format!(",mq=on,vectors={vectors}");
    }
    if nic.ring == Ring::Packed {
        device += ",packed=on";
    }
    if let Some(mtu) = nic.mtu {
        device += &format!(",host_mtu={mtu}");
    }
    if nic.primary.is_some() {
        device += ",failover=on";
    }
    device
}

/// In the order in which a reader looks for them; `driver` is first.
fn primary_properties(nic: &Nic) -> Option<Vec<(&'static str, String)>> {
    let id = &nic.id;
    let mut properties = match nic.primary.as_ref()? {
        Primary::Vfio(address) => vec![
            ("driver", "vfio-pci".to_owned()),
            ("host", address.to_string()),
        ],
        Primary::Emulated { .. } => vec![
            ("driver", "e1000e".to_owned()),
            ("netdev", format!("{id}-tap")),
            ("mac", nic.mac.to_string()),
        ],
    };
    properties.extend([
        ("id", primary_id(nic)),
        ("bus", format!("{id}-vf-port")),
        ("failover_pair_id", id.clone()),
    ]);
    Some(properties)
}

/// QEMU ends a value at a comma, unless there are two.
fn escape(value: &str) -> String {
    value.replace(',', ",,")
}

#[cfg(test)]
pub(crate) mod tests;
