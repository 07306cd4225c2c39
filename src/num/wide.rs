//! Products wider than `i128`. Comparisons of ratios multiply out instead of dividing, and two
//! 18-place decimals already fill 128 bits, so the intermediate is 256 bits wide.

use std::cmp::Ordering;

use ethnum::I256;

use super::Rounding;

/// A 256-bit signed integer.
pub type Wide = I256;

/// `a0 * a1 * ...`, exact; `None` if it leaves 256 bits.
pub fn wide_product(factors: &[i128]) -> Option<Wide> {
    factors.iter().try_fold(I256::ONE, |acc, f| acc.checked_mul(I256::from(*f)))
}

/// The product, where it fits the native width.
fn narrow_product(factors: &[i128]) -> Option<i128> {
    let (first, rest) = factors.split_first()?;
    rest.iter().try_fold(*first, |product, factor| {
        // Magnitudes of so few bits cannot overflow: three multiplications instead of a call.
        let spare = product.unsigned_abs().leading_zeros() + factor.unsigned_abs().leading_zeros();
        if spare > i128::BITS { Some(product.wrapping_mul(*factor)) } else { product.checked_mul(*factor) }
    })
}

/// Compares `a0 * a1 * ...` with `b0 * b1 * ...` exactly; `None` if a product leaves 256 bits.
pub fn cmp_products(left: &[i128], right: &[i128]) -> Option<Ordering> {
    // On the hot path the products nearly always fit the native width.
    match (narrow_product(left), narrow_product(right)) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => Some(wide_product(left)?.cmp(&wide_product(right)?)),
    }
}

/// `a * b / c` with one rounding; `None` for a zero divisor or a result outside `i128`.
pub fn mul_div(a: i128, b: i128, c: i128, rounding: Rounding) -> Option<i128> {
    // Most products fit the native width, where a division is many times cheaper.
    match a.checked_mul(b) {
        Some(product) => rounding.div_i128(product, c),
        None => div_wide(wide_product(&[a, b])?, I256::from(c), rounding),
    }
}

/// `n / d` with one rounding; `None` for a zero divisor or a result outside `i128`.
pub fn div_wide(n: Wide, d: Wide, rounding: Rounding) -> Option<i128> {
    let quotient = n.checked_div(d)?;
    let remainder = n - quotient * d;
    if remainder == I256::ZERO {
        return i128::try_from(quotient).ok();
    }
    let negative = (n < I256::ZERO) != (d < I256::ZERO);
    let rest = remainder.abs();
    let twice = rest.cmp(&(d.checked_abs()? - rest));
    let odd = (quotient & I256::ONE) == I256::ONE;
    let away = rounding.away_from_zero(negative, twice, odd);
    let step = if negative { I256::MINUS_ONE } else { I256::ONE };
    i128::try_from(if away { quotient + step } else { quotient }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_beyond_128_bits_compare_exactly() {
        let big = 10i128.pow(30);
        assert_eq!(cmp_products(&[big, big], &[big, big + 1]), Some(Ordering::Less));
        assert_eq!(cmp_products(&[-big, big], &[big, -big]), Some(Ordering::Equal));
        assert_eq!(cmp_products(&[i128::MAX, i128::MAX, i128::MAX], &[1]), None);
    }

    #[test]
    fn a_narrow_product_is_the_product_or_none() {
        let edge = [0, 1, -1, 2, i128::MAX, i128::MIN, 1 << 62, 1 << 63, -(1 << 63), (1 << 64) - 1, 1 << 64];
        for a in edge {
            for b in edge {
                assert_eq!(narrow_product(&[a, b]), a.checked_mul(b), "{a} * {b}");
                assert_eq!(narrow_product(&[a, b, 3]), a.checked_mul(b).and_then(|ab| ab.checked_mul(3)));
            }
            assert_eq!(narrow_product(&[a]), Some(a));
        }
    }

    #[test]
    fn mul_div_rounds_alike_in_both_widths() {
        let modes = [Rounding::Floor, Rounding::Ceil, Rounding::HalfEven, Rounding::HalfAway];
        for mode in modes {
            for a in -9i128..=9 {
                for c in [-4i128, -3, 2, 4, 7] {
                    let narrow = mul_div(a, 5, c, mode);
                    // The same ratio, scaled until the product needs 256 bits.
                    let scale = 10i128.pow(30);
                    let wide =
                        mul_div(a * scale, 5 * scale, c * scale, mode).and_then(|v| mode.div_i128(v, 1));
                    let exact_scaled = mul_div(a * 5, scale, c, mode);
                    assert_eq!(wide, exact_scaled, "{a}*5/{c} {mode:?}");
                    assert_eq!(narrow, mode.div_i128(a * 5, c));
                }
            }
        }
        assert_eq!(mul_div(1, 1, 0, Rounding::Floor), None);
    }
}
