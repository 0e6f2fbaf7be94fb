use super::Fit;

fn of(cost: impl Fn(f64) -> f64) -> Fit {
    let sizes = [1.0, 10.0, 100.0, 1_000.0, 10_000.0];
    let points: Vec<(f64, f64)> = sizes.map(|size| (size, cost(size))).into();
    Fit::of(&points).expect("five sizes")
}

#[test]
fn what_grows_is_called_by_how_it_grows() {
    assert_eq!(of(|_| 7.0).words(), "flat");
    assert_eq!(of(|n| 3.0 * n).words(), "linear");
    assert_eq!(of(|n| 100.0 + 40.0 * n.log2()).words(), "logarithmic");
    assert_eq!(of(|n| n * n).words(), "more than linear");
    assert_eq!(of(f64::sqrt).words(), "less than linear");
    assert_eq!(of(|n| 1.0 / n).words(), "falls");
}

#[test]
fn a_power_is_found_with_its_exponent() {
    let fit = of(|n| 5.0 * n.powf(0.75));
    assert!((fit.exponent - 0.75).abs() < 1e-9, "{fit:?}");
    assert!((fit.r2 - 1.0).abs() < 1e-9, "{fit:?}");
    assert!((fit.ratio - 1_000.0).abs() < 1e-6, "{fit:?}");
    assert!(fit.sentence().contains("n^0.75"), "{}", fit.sentence());
}

#[test]
fn noise_lowers_what_is_explained() {
    let noisy = [(1.0, 10.0), (10.0, 30.0), (100.0, 12.0), (1_000.0, 28.0)];
    let fit = Fit::of(&noisy).expect("four sizes");
    assert!(fit.r2 < 0.6, "{fit:?}");
}

#[test]
fn too_little_is_no_fit() {
    assert_eq!(Fit::of(&[(1.0, 2.0), (10.0, 3.0)]), None);
    assert_eq!(Fit::of(&[(1.0, 2.0), (1.0, 3.0), (10.0, 4.0)]), None);
    assert_eq!(Fit::of(&[(1.0, 2.0), (10.0, 0.0), (100.0, 4.0)]), None);
}
