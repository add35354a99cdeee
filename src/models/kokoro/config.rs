//! What a Kokoro checkpoint's `config.json` says, checked once: sizes, vocabulary, vocoder.
//!
//! Owns the parsing and the figures of the published release; never opens a weight file.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::contract::ModelError;

/// The published `config.json`; keys that inference does not need are ignored.
#[derive(Clone, Debug, Deserialize)]
pub struct KokoroConfig {
    /// Width of text features.
    pub hidden_dim: usize,
    /// Width of each half of a voice's style vector.
    pub style_dim: usize,
    /// Layers of the text encoder and of the duration encoder.
    pub n_layer: usize,
    /// Rows of the embeddings: one more than the largest token id.
    pub n_token: usize,
    /// Duration bins: the longest a token can last, in frames.
    pub max_dur: usize,
    /// Kernel of the text encoder's convolutions.
    pub text_encoder_kernel_size: usize,
    /// The phoneme-level ALBERT.
    pub plbert: PlbertConfig,
    /// The vocoder.
    pub istftnet: IstftnetConfig,
    /// Symbol to token id; 0 is kept for the start and the end.
    pub vocab: BTreeMap<char, u32>,
    /// Widths that the release hard-codes; other sizes name them here.
    #[serde(default, rename = "_tiny")]
    pub widths: DecoderWidths,
}

/// Sizes of the phoneme-level ALBERT (Lan et al. 2019); one layer, applied `num_hidden_layers` times.
#[derive(Clone, Debug, Deserialize)]
pub struct PlbertConfig {
    /// Width of the layers.
    pub hidden_size: usize,
    /// Heads of the attention.
    pub num_attention_heads: usize,
    /// Width between the two feed-forward matrices.
    pub intermediate_size: usize,
    /// The longest input, start and end included.
    pub max_position_embeddings: usize,
    /// How often the one layer is applied.
    pub num_hidden_layers: usize,
    /// Width of the embeddings; ALBERT's default.
    #[serde(default = "albert_embedding")]
    pub embedding_size: usize,
}

/// Sizes of the ISTFTNet vocoder (Kaneko et al. 2022).
#[derive(Clone, Debug, Deserialize)]
pub struct IstftnetConfig {
    /// Kernels of the up-sampling convolutions.
    pub upsample_kernel_sizes: Vec<usize>,
    /// Their strides.
    pub upsample_rates: Vec<usize>,
    /// Hop of the inverse STFT in samples.
    pub gen_istft_hop_size: usize,
    /// Its window in samples.
    pub gen_istft_n_fft: usize,
    /// Dilations of each residual block.
    pub resblock_dilation_sizes: Vec<Vec<usize>>,
    /// Kernel of each residual block.
    pub resblock_kernel_sizes: Vec<usize>,
    /// Channels before the first up-sampling, halved by each.
    pub upsample_initial_channel: usize,
}

/// Widths inside the decoder.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct DecoderWidths {
    /// Of the residual blocks.
    #[serde(default = "release_hidden")]
    pub decoder_hidden: usize,
    /// Of what it hands to the vocoder; the vocoder's initial channels unless named.
    #[serde(default)]
    pub decoder_out: Option<usize>,
    /// Of the text features that every block sees again.
    #[serde(default = "release_residual")]
    pub asr_res: usize,
}

impl Default for DecoderWidths {
    /// The release's, which its code hard-codes.
    fn default() -> Self {
        Self { decoder_hidden: release_hidden(), decoder_out: None, asr_res: release_residual() }
    }
}

fn albert_embedding() -> usize {
    128
}

fn release_hidden() -> usize {
    1024
}

fn release_residual() -> usize {
    64
}

impl KokoroConfig {
    /// Reads and checks a `config.json`; `name` is what errors call it.
    pub fn parse(text: &str, name: &str) -> Result<Self, ModelError> {
        let config: Self = serde_json::from_str(text)
            .map_err(|error| ModelError::own(format!("{name} is not a Kokoro config")).because(error))?;
        config.check().map_err(|why| ModelError::own(format!("{name}: {why}")))?;
        Ok(config)
    }

    /// The release's configuration (hexgrad/Kokoro-82M, `config.json`).
    pub fn published() -> Self {
        Self {
            hidden_dim: 512,
            style_dim: 128,
            n_layer: 3,
            n_token: 178,
            max_dur: 50,
            text_encoder_kernel_size: 5,
            plbert: PlbertConfig {
                hidden_size: 768,
                num_attention_heads: 12,
                intermediate_size: 2048,
                max_position_embeddings: 512,
                num_hidden_layers: 12,
                embedding_size: albert_embedding(),
            },
            istftnet: IstftnetConfig {
                upsample_kernel_sizes: vec![20, 12],
                upsample_rates: vec![10, 6],
                gen_istft_hop_size: 5,
                gen_istft_n_fft: 20,
                resblock_dilation_sizes: vec![vec![1, 3, 5]; 3],
                resblock_kernel_sizes: vec![3, 7, 11],
                upsample_initial_channel: 512,
            },
            vocab: PUBLISHED_VOCABULARY.into_iter().collect(),
            widths: DecoderWidths::default(),
        }
    }

    /// Takes the decoder's widths from the shapes of the weights, where a configuration cannot tell them.
    pub fn take_widths(&mut self, shape: impl Fn(&str) -> Option<Vec<usize>>) {
        let outputs = |name: &str| shape(&format!("decoder.module.{name}.weight_v"))?.first().copied();
        if let Some(width) = outputs("encode.conv1") {
            self.widths.decoder_hidden = width;
        }
        if let Some(width) = outputs("asr_res.0") {
            self.widths.asr_res = width;
        }
        self.widths.decoder_out = outputs("decode.3.conv1").or(self.widths.decoder_out);
    }

    /// Channels between the decoder's blocks and the vocoder.
    pub fn decoder_out(&self) -> usize {
        self.widths.decoder_out.unwrap_or(self.istftnet.upsample_initial_channel)
    }

    /// Samples of sound for each frame of a token's duration: the F0 curve has two values a frame.
    pub fn samples_per_frame(&self) -> usize {
        2 * self.istftnet.samples_per_f0()
    }

    /// The tokens of these symbols, between the start and the end; symbols that are not in the vocabulary are none.
    pub(super) fn tokens(&self, symbols: &[char]) -> Vec<u32> {
        let inner = symbols.iter().filter_map(|symbol| self.vocab.get(symbol).copied());
        std::iter::once(0).chain(inner).chain(std::iter::once(0)).collect()
    }

    /// Symbols that fit into one pass; the start and the end take two places.
    pub fn context(&self) -> usize {
        self.plbert.max_position_embeddings - 2
    }

    fn check(&self) -> Result<(), String> {
        let vocoder = &self.istftnet;
        let positive = [
            ("hidden_dim", self.hidden_dim),
            ("style_dim", self.style_dim),
            ("n_layer", self.n_layer),
            ("n_token", self.n_token),
            ("max_dur", self.max_dur),
            ("text_encoder_kernel_size", self.text_encoder_kernel_size),
            ("plbert.hidden_size", self.plbert.hidden_size),
            ("plbert.num_attention_heads", self.plbert.num_attention_heads),
            ("plbert.intermediate_size", self.plbert.intermediate_size),
            ("plbert.embedding_size", self.plbert.embedding_size),
            ("_tiny.decoder_hidden", self.widths.decoder_hidden),
            ("_tiny.asr_res", self.widths.asr_res),
            ("istftnet.gen_istft_hop_size", vocoder.gen_istft_hop_size),
            ("istftnet.resblock_kernel_sizes (its length)", vocoder.resblock_kernel_sizes.len()),
            ("istftnet.upsample_rates (its length)", vocoder.upsample_rates.len()),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(format!("{key} is 0, and has to be at least 1"));
        }
        if !self.hidden_dim.is_multiple_of(2) {
            return Err(format!(
                "hidden_dim is {}, and has to be even: its LSTMs run both ways",
                self.hidden_dim
            ));
        }
        if !self.plbert.hidden_size.is_multiple_of(self.plbert.num_attention_heads) {
            let (size, heads) = (self.plbert.hidden_size, self.plbert.num_attention_heads);
            return Err(format!("plbert.hidden_size {size} does not divide into {heads} heads"));
        }
        if self.plbert.max_position_embeddings < 3 {
            let places = self.plbert.max_position_embeddings;
            return Err(format!("plbert.max_position_embeddings is {places}: no room between start and end"));
        }
        vocoder.check()?;
        let largest = self.vocab.iter().max_by_key(|(_, id)| **id);
        match largest {
            None => Err("vocab is empty".to_owned()),
            Some((symbol, id)) if *id as usize >= self.n_token => Err(format!(
                "vocab gives {symbol:?} the id {id}, and n_token is {}: ids run from 1 to {}",
                self.n_token,
                self.n_token - 1
            )),
            Some(_) => match self.vocab.iter().find(|(_, id)| **id == 0) {
                Some((symbol, _)) => {
                    Err(format!("vocab gives {symbol:?} the id 0, which marks the start and the end"))
                }
                None => Ok(()),
            },
        }
    }
}

impl IstftnetConfig {
    /// Samples for each value of the F0 curve.
    pub fn samples_per_f0(&self) -> usize {
        self.upsample_rates.iter().product::<usize>() * self.gen_istft_hop_size
    }

    fn check(&self) -> Result<(), String> {
        let lengths = |a: usize, b: usize, names: &str| {
            if a == b { Ok(()) } else { Err(format!("istftnet: {names} have {a} and {b} entries")) }
        };
        lengths(
            self.upsample_rates.len(),
            self.upsample_kernel_sizes.len(),
            "upsample_rates and upsample_kernel_sizes",
        )?;
        lengths(
            self.resblock_kernel_sizes.len(),
            self.resblock_dilation_sizes.len(),
            "resblock_kernel_sizes and resblock_dilation_sizes",
        )?;
        for (rate, kernel) in self.upsample_rates.iter().zip(&self.upsample_kernel_sizes) {
            if *rate == 0 || kernel < rate || (kernel - rate) % 2 != 0 {
                return Err(format!(
                    "istftnet: an up-sampling kernel of {kernel} with a rate of {rate}: the kernel has to exceed the \
                     rate by an even number"
                ));
            }
        }
        if let Some(kernel) = self.resblock_kernel_sizes.iter().find(|kernel| **kernel % 2 == 0) {
            return Err(format!("istftnet: a residual kernel of {kernel} has no centre; it has to be odd"));
        }
        if self.resblock_dilation_sizes.iter().flatten().any(|dilation| *dilation == 0) {
            return Err("istftnet: a dilation of 0".to_owned());
        }
        let (window, hop) = (self.gen_istft_n_fft, self.gen_istft_hop_size);
        if window < 2 || window % 2 != 0 || hop > window / 2 {
            return Err(format!(
                "istftnet: a window of {window} with a hop of {hop}: the window has to be even and the hop at most \
                 half of it"
            ));
        }
        let halvings = self.upsample_rates.len() as u32;
        let channels = self.upsample_initial_channel;
        if channels.checked_shr(halvings).unwrap_or(0) == 0 {
            return Err(format!("istftnet: {channels} channels cannot be halved {halvings} times"));
        }
        Ok(())
    }
}

/// Symbols and ids of hexgrad/Kokoro-82M's `config.json`.
const PUBLISHED_VOCABULARY: [(char, u32); 114] = [
    (';', 1),
    (':', 2),
    (',', 3),
    ('.', 4),
    ('!', 5),
    ('?', 6),
    ('—', 9),
    ('…', 10),
    ('"', 11),
    ('(', 12),
    (')', 13),
    ('“', 14),
    ('”', 15),
    (' ', 16),
    ('\u{303}', 17),
    ('ʣ', 18),
    ('ʥ', 19),
    ('ʦ', 20),
    ('ʨ', 21),
    ('ᵝ', 22),
    ('\u{ab67}', 23),
    ('A', 24),
    ('I', 25),
    ('O', 31),
    ('Q', 33),
    ('S', 35),
    ('T', 36),
    ('W', 39),
    ('Y', 41),
    ('ᵊ', 42),
    ('a', 43),
    ('b', 44),
    ('c', 45),
    ('d', 46),
    ('e', 47),
    ('f', 48),
    ('h', 50),
    ('i', 51),
    ('j', 52),
    ('k', 53),
    ('l', 54),
    ('m', 55),
    ('n', 56),
    ('o', 57),
    ('p', 58),
    ('q', 59),
    ('r', 60),
    ('s', 61),
    ('t', 62),
    ('u', 63),
    ('v', 64),
    ('w', 65),
    ('x', 66),
    ('y', 67),
    ('z', 68),
    ('ɑ', 69),
    ('ɐ', 70),
    ('ɒ', 71),
    ('æ', 72),
    ('β', 75),
    ('ɔ', 76),
    ('ɕ', 77),
    ('ç', 78),
    ('ɖ', 80),
    ('ð', 81),
    ('ʤ', 82),
    ('ə', 83),
    ('ɚ', 85),
    ('ɛ', 86),
    ('ɜ', 87),
    ('ɟ', 90),
    ('ɡ', 92),
    ('ɥ', 99),
    ('ɨ', 101),
    ('ɪ', 102),
    ('ʝ', 103),
    ('ɯ', 110),
    ('ɰ', 111),
    ('ŋ', 112),
    ('ɳ', 113),
    ('ɲ', 114),
    ('ɴ', 115),
    ('ø', 116),
    ('ɸ', 118),
    ('θ', 119),
    ('œ', 120),
    ('ɹ', 123),
    ('ɾ', 125),
    ('ɻ', 126),
    ('ʁ', 128),
    ('ɽ', 129),
    ('ʂ', 130),
    ('ʃ', 131),
    ('ʈ', 132),
    ('ʧ', 133),
    ('ʊ', 135),
    ('ʋ', 136),
    ('ʌ', 138),
    ('ɣ', 139),
    ('ɤ', 140),
    ('χ', 142),
    ('ʎ', 143),
    ('ʒ', 147),
    ('ʔ', 148),
    ('ˈ', 156),
    ('ˌ', 157),
    ('ː', 158),
    ('ʰ', 162),
    ('ʲ', 164),
    ('↓', 169),
    ('→', 171),
    ('↗', 172),
    ('↘', 173),
    ('ᵻ', 177),
];

#[cfg(test)]
mod tests;
