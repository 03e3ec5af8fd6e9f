//! The distance kernels: the one file with `unsafe` (`docs/decisions/0001-unsafe-kernels.md`).
//!
//! A [`Kernel`] is chosen once, at run time: AVX-512 with VNNI, AVX2, or plain Rust. Each level is compared with the plain
//! one by a property test. What is unsafe here is of three kinds, and each is small: loads from array references (sound for
//! any reference), prefetches (a hint that cannot fault), and calls of functions compiled for features that were detected.
//!
//! A row's codes, -127 to 127, are kept as bytes with 128 added, because VNNI multiplies unsigned by signed bytes; no byte of a
//! row is 0. The sums are those of the signed codes.
//!
//! Slices are padded by the caller to whole lines of [`LANES`] elements; what stands beyond the shorter slice is ignored.
#![expect(unsafe_code, reason = "docs/decisions/0001-unsafe-kernels.md: vector instructions chosen at run time")]

use std::sync::OnceLock;

/// Elements that rows and queries are padded to: the bytes of a cache line and of the widest register.
pub(super) const LANES: usize = 64;

/// Width of one register of `f32`, and of the plain version's accumulators, so that the compiler can vectorise them.
const FLOATS: usize = 16;

/// The instructions to use.
// INVARIANT: a level other than `Portable` is made only in `Kernel::usable`, after its features were detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kernel(Level);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// Calls the function of the level at hand.
macro_rules! at_level {
    ($level:expr, $name:ident($($argument:expr),*)) => {
        match $level {
            Level::Portable => portable::$name($($argument),*),
            // SAFETY: by INVARIANT on Kernel, the processor has the features that the functions of this module need.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { avx2::$name($($argument),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => unsafe { avx512::$name($($argument),*) },
        }
    };
}

/// The codes of a query, -127 to 127.
#[derive(Debug)]
pub(super) struct Codes {
    signed: Vec<i8>,
    /// What the 128 in every byte of a row adds to a sum of products.
    bias: i32,
}

impl Codes {
    pub(super) fn new(signed: Vec<i8>) -> Self {
        let bias = signed.iter().map(|code| i32::from(*code) * 128).sum();
        Self { signed, bias }
    }
}

impl Kernel {
    /// The fastest kernel of this processor.
    pub(super) fn detect() -> Self {
        static BEST: OnceLock<Kernel> = OnceLock::new();
        *BEST.get_or_init(|| Self::usable().pop().unwrap_or(Self(Level::Portable)))
    }

    /// Every kernel that this processor can run, the fastest last.
    pub(super) fn usable() -> Vec<Self> {
        let mut kernels = vec![Self(Level::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if avx2 && is_x86_feature_detected!("f16c") {
                kernels.push(Self(Level::Avx2));
            }
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vnni")
            {
                kernels.push(Self(Level::Avx512));
            }
        }
        kernels
    }

    /// What it is called in figures.
    pub(super) fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512-vnni",
        }
    }

    /// Sums of products of each of `out.len()` rows, stored one after another, with `query`.
    pub(super) fn run(self, rows: &[u8], query: &Codes, out: &mut [i32]) {
        at_level!(self.0, run(rows, query, out));
    }

    /// Sums of products of rows, each somewhere, with `query`.
    pub(super) fn each(self, rows: &[&[u8]], query: &Codes, out: &mut [i32]) {
        at_level!(self.0, each(rows, query, out));
    }

    /// Sum of products of one row with `query`.
    pub(super) fn code(self, row: &[u8], query: &Codes) -> i32 {
        at_level!(self.0, code(row, query))
    }

    /// Sum of products of two rows.
    pub(super) fn pair(self, a: &[u8], b: &[u8]) -> i32 {
        at_level!(self.0, pair(a, b))
    }

    /// Sum of products.
    pub(super) fn dot_f32(self, a: &[f32], b: &[f32]) -> f32 {
        at_level!(self.0, dot_f32(a, b))
    }

    /// Sum of products; `a` holds half-precision bits.
    pub(super) fn dot_f16(self, a: &[u16], b: &[f32]) -> f32 {
        at_level!(self.0, dot_f16(a, b))
    }

    /// Sum of squared differences.
    pub(super) fn square_f32(self, a: &[f32], b: &[f32]) -> f32 {
        at_level!(self.0, square_f32(a, b))
    }

    /// Sum of squared differences; `a` holds half-precision bits.
    pub(super) fn square_f16(self, a: &[u16], b: &[f32]) -> f32 {
        at_level!(self.0, square_f16(a, b))
    }
}

/// Asks for the lines of `bytes` before they are needed, so that the next distance does not wait for memory.
#[inline]
pub(super) fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(LANES) {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: a prefetch is a hint; it reads nothing and cannot fault, and the address is inside of `bytes`.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}

/// Asks for the line at which an item begins.
#[inline]
pub(super) fn prefetch_item<T>(item: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: as above; the address is that of a reference.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(item).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = item;
}

/// What every level must agree with.
mod portable {
    use super::{Codes, FLOATS};

    pub(super) fn run(rows: &[u8], query: &Codes, out: &mut [i32]) {
        for (row, sum) in rows.chunks_exact(query.signed.len().max(1)).zip(out) {
            *sum = code(row, query);
        }
    }

    pub(super) fn each(rows: &[&[u8]], query: &Codes, out: &mut [i32]) {
        for (row, sum) in rows.iter().zip(out) {
            *sum = code(row, query);
        }
    }

    fn centred(code: u8) -> i32 {
        i32::from(code).wrapping_sub(128)
    }

    pub(super) fn code(row: &[u8], query: &Codes) -> i32 {
        let products = row.iter().zip(&query.signed).map(|(r, q)| centred(*r).wrapping_mul(i32::from(*q)));
        products.fold(0, i32::wrapping_add)
    }

    pub(super) fn pair(a: &[u8], b: &[u8]) -> i32 {
        a.iter().zip(b).fold(0, |sum: i32, (a, b)| sum.wrapping_add(centred(*a).wrapping_mul(centred(*b))))
    }

    /// Adds `term` of each pair into independent lanes, then the lanes: the order that vector registers use too.
    fn fold<A: Copy>(a: &[A], b: &[f32], term: impl Fn(A, f32) -> f32) -> f32 {
        let mut lanes = [0.0_f32; FLOATS];
        for (a, b) in a.chunks(FLOATS).zip(b.chunks(FLOATS)) {
            for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
                *lane += term(*a, *b);
            }
        }
        lanes.iter().sum()
    }

    pub(super) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
        fold(a, b, |a, b| a * b)
    }

    pub(super) fn dot_f16(a: &[u16], b: &[f32]) -> f32 {
        fold(a, b, |a, b| half::f16::from_bits(a).to_f32() * b)
    }

    pub(super) fn square_f32(a: &[f32], b: &[f32]) -> f32 {
        fold(a, b, |a, b| (a - b) * (a - b))
    }

    pub(super) fn square_f16(a: &[u16], b: &[f32]) -> f32 {
        fold(a, b, |a, b| {
            let difference = half::f16::from_bits(a).to_f32() - b;
            difference * difference
        })
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::Codes;
    use std::arch::x86_64::*;

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn bytes<T>(line: &[T; 64]) -> __m512i {
        const { assert!(size_of::<T>() == 1) };
        // SAFETY: 64 readable bytes stand behind the reference; the load needs no alignment.
        unsafe { _mm512_loadu_si512(line.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn floats(line: &[f32; 16]) -> __m512 {
        // SAFETY: 16 readable floats stand behind the reference; the load needs no alignment.
        unsafe { _mm512_loadu_ps(line.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn halves(line: &[u16; 16]) -> __m512 {
        // SAFETY: 32 readable bytes stand behind the reference; the load needs no alignment.
        _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(line.as_ptr().cast()) })
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) fn run(rows: &[u8], query: &Codes, out: &mut [i32]) {
        for (row, sum) in rows.chunks_exact(query.signed.len().max(1)).zip(out) {
            *sum = code(row, query);
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) fn each(rows: &[&[u8]], query: &Codes, out: &mut [i32]) {
        for (row, sum) in rows.iter().zip(out) {
            *sum = code(row, query);
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) fn code(row: &[u8], query: &Codes) -> i32 {
        let mut sums = [_mm512_setzero_si512(); 2];
        let (rows, queries) = (row.as_chunks::<64>().0, query.signed.as_chunks::<64>().0);
        let ([a, a_rest @ ..], [b, b_rest @ ..]) = (rows, queries) else { return 0 };
        sums[0] = _mm512_dpbusd_epi32(sums[0], bytes(a), bytes(b));
        for (a, b) in a_rest.as_chunks::<2>().0.iter().zip(b_rest.as_chunks::<2>().0) {
            sums[0] = _mm512_dpbusd_epi32(sums[0], bytes(&a[0]), bytes(&b[0]));
            sums[1] = _mm512_dpbusd_epi32(sums[1], bytes(&a[1]), bytes(&b[1]));
        }
        if let ([a], [b]) = (a_rest.as_chunks::<2>().1, b_rest.as_chunks::<2>().1) {
            sums[1] = _mm512_dpbusd_epi32(sums[1], bytes(a), bytes(b));
        }
        _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1])).wrapping_sub(query.bias)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub(super) fn pair(a: &[u8], b: &[u8]) -> i32 {
        // -128 is both the bit that turns a code into its signed form and, as an unsigned byte, the 128 to take off.
        let middle = _mm512_set1_epi8(-128);
        let (mut sum, mut offset) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        for (a, b) in a.as_chunks::<64>().0.iter().zip(b.as_chunks::<64>().0) {
            let b = _mm512_xor_si512(bytes(b), middle);
            sum = _mm512_dpbusd_epi32(sum, bytes(a), b);
            offset = _mm512_dpbusd_epi32(offset, middle, b);
        }
        _mm512_reduce_add_epi32(_mm512_sub_epi32(sum, offset))
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
        let mut sums = [_mm512_setzero_ps(); 4];
        for (a, b) in a.as_chunks::<64>().0.iter().zip(b.as_chunks::<64>().0) {
            for (sum, (a, b)) in sums.iter_mut().zip(a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0)) {
                *sum = _mm512_fmadd_ps(floats(a), floats(b), *sum);
            }
        }
        total(sums)
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn dot_f16(a: &[u16], b: &[f32]) -> f32 {
        let mut sums = [_mm512_setzero_ps(); 4];
        for (a, b) in a.as_chunks::<64>().0.iter().zip(b.as_chunks::<64>().0) {
            for (sum, (a, b)) in sums.iter_mut().zip(a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0)) {
                *sum = _mm512_fmadd_ps(halves(a), floats(b), *sum);
            }
        }
        total(sums)
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn square_f32(a: &[f32], b: &[f32]) -> f32 {
        let mut sums = [_mm512_setzero_ps(); 4];
        for (a, b) in a.as_chunks::<64>().0.iter().zip(b.as_chunks::<64>().0) {
            for (sum, (a, b)) in sums.iter_mut().zip(a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0)) {
                let difference = _mm512_sub_ps(floats(a), floats(b));
                *sum = _mm512_fmadd_ps(difference, difference, *sum);
            }
        }
        total(sums)
    }

    #[target_feature(enable = "avx512f")]
    pub(super) fn square_f16(a: &[u16], b: &[f32]) -> f32 {
        let mut sums = [_mm512_setzero_ps(); 4];
        for (a, b) in a.as_chunks::<64>().0.iter().zip(b.as_chunks::<64>().0) {
            for (sum, (a, b)) in sums.iter_mut().zip(a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0)) {
                let difference = _mm512_sub_ps(halves(a), floats(b));
                *sum = _mm512_fmadd_ps(difference, difference, *sum);
            }
        }
        total(sums)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn total(sums: [__m512; 4]) -> f32 {
        let [a, b, c, d] = sums;
        _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)))
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::Codes;
    use std::arch::x86_64::*;

    #[inline]
    #[target_feature(enable = "avx2")]
    fn bytes<T>(half: &[T; 32]) -> __m256i {
        const { assert!(size_of::<T>() == 1) };
        // SAFETY: 32 readable bytes stand behind the reference; the load needs no alignment.
        unsafe { _mm256_loadu_si256(half.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx")]
    fn floats(line: &[f32; 8]) -> __m256 {
        // SAFETY: 8 readable floats stand behind the reference; the load needs no alignment.
        unsafe { _mm256_loadu_ps(line.as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx,f16c")]
    fn halves(line: &[u16; 8]) -> __m256 {
        // SAFETY: 16 readable bytes stand behind the reference; the load needs no alignment.
        _mm256_cvtph_ps(unsafe { _mm_loadu_si128(line.as_ptr().cast()) })
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn run(rows: &[u8], query: &Codes, out: &mut [i32]) {
        for (row, sum) in rows.chunks_exact(query.signed.len().max(1)).zip(out) {
            *sum = code(row, query);
        }
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn each(rows: &[&[u8]], query: &Codes, out: &mut [i32]) {
        for (row, sum) in rows.iter().zip(out) {
            *sum = code(row, query);
        }
    }

    /// Products of unsigned by signed bytes are added two by two in 16 bits. So the sign of each code of the query goes to the
    /// row's: 2 x 127 x 127 fits, where 2 x 255 x 127 would be cut.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn code(row: &[u8], query: &Codes) -> i32 {
        let (middle, ones) = (_mm256_set1_epi8(-128), _mm256_set1_epi16(1));
        let mut sums = [_mm256_setzero_si256(); 2];
        for (a, b) in row.as_chunks::<64>().0.iter().zip(query.signed.as_chunks::<64>().0) {
            for (sum, (a, b)) in sums.iter_mut().zip(a.as_chunks::<32>().0.iter().zip(b.as_chunks::<32>().0)) {
                let b = bytes(b);
                let a = _mm256_sign_epi8(_mm256_xor_si256(bytes(a), middle), b);
                let products = _mm256_maddubs_epi16(_mm256_abs_epi8(b), a);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(products, ones));
            }
        }
        whole(_mm256_add_epi32(sums[0], sums[1]))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn pair(a: &[u8], b: &[u8]) -> i32 {
        let (middle, ones) = (_mm256_set1_epi8(-128), _mm256_set1_epi16(1));
        let mut sums = [_mm256_setzero_si256(); 2];
        for (a, b) in a.as_chunks::<64>().0.iter().zip(b.as_chunks::<64>().0) {
            for (sum, (a, b)) in sums.iter_mut().zip(a.as_chunks::<32>().0.iter().zip(b.as_chunks::<32>().0)) {
                let b = _mm256_xor_si256(bytes(b), middle);
                let a = _mm256_sign_epi8(_mm256_xor_si256(bytes(a), middle), b);
                let products = _mm256_maddubs_epi16(_mm256_abs_epi8(b), a);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(products, ones));
            }
        }
        whole(_mm256_add_epi32(sums[0], sums[1]))
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn dot_f32(a: &[f32], b: &[f32]) -> f32 {
        let mut sums = [_mm256_setzero_ps(); 8];
        for (a, b) in a.as_chunks::<64>().0.iter().zip(b.as_chunks::<64>().0) {
            for (sum, (a, b)) in sums.iter_mut().zip(a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0)) {
                *sum = _mm256_fmadd_ps(floats(a), floats(b), *sum);
            }
        }
        total(sums)
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn dot_f16(a: &[u16], b: &[f32]) -> f32 {
        let mut sums = [_mm256_setzero_ps(); 8];
        for (a, b) in a.as_chunks::<64>().0.iter().zip(b.as_chunks::<64>().0) {
            for (sum, (a, b)) in sums.iter_mut().zip(a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0)) {
                *sum = _mm256_fmadd_ps(halves(a), floats(b), *sum);
            }
        }
        total(sums)
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn square_f32(a: &[f32], b: &[f32]) -> f32 {
        let mut sums = [_mm256_setzero_ps(); 8];
        for (a, b) in a.as_chunks::<64>().0.iter().zip(b.as_chunks::<64>().0) {
            for (sum, (a, b)) in sums.iter_mut().zip(a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0)) {
                let difference = _mm256_sub_ps(floats(a), floats(b));
                *sum = _mm256_fmadd_ps(difference, difference, *sum);
            }
        }
        total(sums)
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    pub(super) fn square_f16(a: &[u16], b: &[f32]) -> f32 {
        let mut sums = [_mm256_setzero_ps(); 8];
        for (a, b) in a.as_chunks::<64>().0.iter().zip(b.as_chunks::<64>().0) {
            for (sum, (a, b)) in sums.iter_mut().zip(a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0)) {
                let difference = _mm256_sub_ps(halves(a), floats(b));
                *sum = _mm256_fmadd_ps(difference, difference, *sum);
            }
        }
        total(sums)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn whole(sum: __m256i) -> i32 {
        let sum = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
        let sum = _mm_add_epi32(sum, _mm_shuffle_epi32::<0b01_00_11_10>(sum));
        _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32::<0b10_11_00_01>(sum)))
    }

    #[inline]
    #[target_feature(enable = "avx")]
    fn total(sums: [__m256; 8]) -> f32 {
        let [a, b, c, d, e, f, g, h] = sums;
        let (low, high) = (
            _mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d)),
            _mm256_add_ps(_mm256_add_ps(e, f), _mm256_add_ps(g, h)),
        );
        let sum = _mm256_add_ps(low, high);
        let sum = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
        let sum = _mm_add_ps(sum, _mm_movehl_ps(sum, sum));
        _mm_cvtss_f32(_mm_add_ss(sum, _mm_shuffle_ps::<1>(sum, sum)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(a: f32, b: f32) -> bool {
        (a - b).abs() <= 1e-4 * (1.0 + a.abs().max(b.abs()))
    }

    proptest! {
        /// Every level says what plain Rust says, for every number of lines: exactly for codes, within rounding for floats.
        #[test]
        fn levels_agree(lines in 1_usize..9, bytes in prop::collection::vec(1_u8.., 4 * 8 * LANES),
                        floats in prop::collection::vec(-2.0_f32..2.0, 2 * 8 * LANES)) {
            let len = lines * LANES;
            let rows = &bytes[..3 * len];
            let query = Codes::new(bytes[3 * 8 * LANES..].iter().take(len).map(|b| (*b as i8).max(-127)).collect());
            let (a, b) = (&floats[..len], &floats[8 * LANES..8 * LANES + len]);
            let halves: Vec<u16> = a.iter().map(|x| half::f16::from_f32(*x).to_bits()).collect();
            let mut plain = [0; 3];
            portable::run(rows, &query, &mut plain);
            for kernel in Kernel::usable() {
                let mut sums = [0; 3];
                kernel.run(rows, &query, &mut sums);
                prop_assert_eq!(sums, plain, "{}", kernel.name());
                let scattered = [&rows[2 * len..], &rows[..len]];
                kernel.each(&scattered, &query, &mut sums);
                prop_assert_eq!(&sums[..2], &[plain[2], plain[0]], "{}", kernel.name());
                prop_assert_eq!(kernel.code(&rows[len..2 * len], &query), plain[1]);
                let (one, two) = (&rows[..len], &rows[len..2 * len]);
                prop_assert_eq!(kernel.pair(one, two), portable::pair(one, two));
                prop_assert!(close(kernel.dot_f32(a, b), portable::dot_f32(a, b)));
                prop_assert!(close(kernel.dot_f16(&halves, b), portable::dot_f16(&halves, b)));
                prop_assert!(close(kernel.square_f32(a, b), portable::square_f32(a, b)));
                prop_assert!(close(kernel.square_f16(&halves, b), portable::square_f16(&halves, b)));
            }
        }
    }

    #[test]
    fn the_extremes_do_not_overflow() {
        let (high, low, query) = ([255_u8; 4096], [1_u8; 4096], Codes::new(vec![-127_i8; 4096]));
        for kernel in Kernel::usable() {
            assert_eq!(kernel.code(&high, &query), -127 * 127 * 4096, "{}", kernel.name());
            assert_eq!(kernel.code(&low, &query), 127 * 127 * 4096, "{}", kernel.name());
            assert_eq!(kernel.pair(&high, &low), -127 * 127 * 4096);
            assert_eq!(kernel.pair(&low, &low), 127 * 127 * 4096);
            assert_eq!(kernel.code(&[], &Codes::new(Vec::new())), 0);
        }
    }
}
