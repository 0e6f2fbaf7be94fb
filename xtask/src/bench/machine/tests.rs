use super::{Machine, cpu_model, tsc_mhz};

#[test]
fn the_refined_frequency_is_the_one_that_counts() {
    let log = "[    0.000017] tsc: Detected 2000.000 MHz processor\n\
               [    0.000018] clocksource: tsc-early: mask: 0xff max_cycles: 0x1\n\
               [    1.1] tsc: Refined TSC clocksource calibration: 2596.104 MHz\n\
               [    1.2] tsc: Marking TSC unstable due to clocksource watchdog\n";
    assert_eq!(tsc_mhz(log), Some(2596.104));
    assert_eq!(tsc_mhz("[0.1] TSC deadline timer available"), None);
}

#[test]
fn the_processor_has_a_name_on_other_architectures_too() {
    assert_eq!(
        cpu_model("processor\t: 0\nmodel name\t: Xeon(R)\n"),
        "Xeon(R)"
    );
    assert_eq!(cpu_model("processor\t: 0\nCPU part\t: 0xd40\n"), "0xd40");
    assert_eq!(cpu_model(""), "unknown");
}

#[test]
fn this_machine_can_be_described() {
    let machine = Machine::describe();
    assert!(machine.cores >= 1 && !machine.kernel.is_empty());
    assert!(
        machine.date.ends_with('Z') && machine.date.contains('T'),
        "{}",
        machine.date
    );
    assert!(machine.differences(&machine).is_empty());
}
