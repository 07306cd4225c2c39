//! Products wider than `i128`. Comparisons of ratios multiply out instead of dividing, and two
//! 18-place decimals already fill 128 bits, so the intermediate is 256 bits wide.

use std::cmp::Ordering;

use ethnum::I256;

use super::Rounding;

/// Compares `a0 * a1 * ...` with `b0 * b1 * ...` exactly; `None` if a product leaves 256 bits.
pub fn cmp_products(left: &[i128], right: &[i128]) -> Option<Ordering> {
    Some(product(left)?.cmp(&product(right)?))
}

/// `a * b / c` with one rounding; `None` for a zero divisor or a result outside `i128`.
pub fn mul_div(a: i128, b: i128, c: i128, rounding: Rounding) -> Option<i128> {
    if c == 0 {
        return None;
    }
    // Most products fit the native width, where a division is many times cheaper.
    if let Some(product) = a.checked_mul(b) {
        return rounding.div_i128(product, c);
    }
    let product = I256::from(a).checked_mul(I256::from(b))?;
    let divisor = I256::from(c);
    let quotient = product / divisor;
    let remainder = product - quotient * divisor;
    if remainder == I256::ZERO {
        return i128::try_from(quotient).ok();
    }
    let negative = (product < I256::ZERO) != (divisor < I256::ZERO);
    let twice = (remainder.abs() * I256::new(2)).cmp(&divisor.abs());
    let odd = (quotient & I256::ONE) == I256::ONE;
    let away = rounding.away_from_zero(negative, twice, odd);
    let step = if negative { I256::MINUS_ONE } else { I256::ONE };
    i128::try_from(if away { quotient + step } else { quotient }).ok()
}

fn product(factors: &[i128]) -> Option<I256> {
    factors.iter().try_fold(I256::ONE, |acc, f| acc.checked_mul(I256::from(*f)))
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
