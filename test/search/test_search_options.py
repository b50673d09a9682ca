import pytest

from msrs import config
from msrs.errors import ConfigError
from msrs.search.options import SearchConfig, load_search


def test_file_and_overrides(tmp_path):
    (tmp_path / "decode.yaml").write_text("beam_size: 20\nctc_weight: 0.5\n", encoding="utf-8")
    options = load_search(tmp_path / "decode.yaml", ["beam_size=5", "length_bonus=0.25"])
    assert (options.beam_size, options.ctc_weight, options.length_bonus) == (5, 0.5, 0.25)
    assert load_search(None) == SearchConfig()
    assert config.build(SearchConfig, config.parse_document(config.to_yaml(options), "x")) == options


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nbest: 2\nbeam_sise: 5\n", "decode.yaml:2: beam_sise is not a key of Search; did you mean beam_size?"),
        ("ctc_weight: 1.5\n", "decode.yaml:1: ctc_weight: Input should be less than or equal to 1"),
        ("beam_size: 0\n", "decode.yaml:1: beam_size: Input should be greater than or equal to 1"),
        ("scorers: [{type: length_bonos}]\n", "did you mean length_bonus"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path, text, message):
    (tmp_path / "decode.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_search(tmp_path / "decode.yaml")
    assert message in str(caught.value)
