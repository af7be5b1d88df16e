"""Words as the image-captioning tool set counts them: Penn Treebank splitting, lower case, no punctuation.

Written after the output of pycocoevalcap's PTBTokenizer (Stanford CoreNLP 3.4.1), which was asked about some hundred
thousand lines and words; `tests/data/ptb_tokens.tsv` holds a part, and the card what still differs. It removes
punctuation after lower-casing, so brackets stay, as -lrb- and the like.

It is a lexer: at each place the longest match of any rule is the next token. What no rule matches is left out,
an emoji for one.
"""

import re
from functools import lru_cache

from giqa_datasets.word_borders import MARKS


_PARTS = {
    "L": r"(?:[^\W\d_²³¹¼-¾\u2070-\u2189\u2460-\u24ff\u2776-\u2793]"
    rf"|[\u02c2-\u02df\u02e5-\u02ff{MARKS}]|&[aeiouAEIOU](?:acute|grave|uml);)",
    "A": "['’]",
    "clitic": "['’](?:s|re|ve|ll|d|m)",
    "end": r"(?=\s|\Z)",
    # Words that keep their full stop: in any case or with a capital, and before a number
    "abbreviation": "(?:(?i:adj|adm|adv|ala?|alex|apr|ariz|assoc|asst|atty|aug|ave|bhd|bldg|blvd|brig|bros|calif|capt"
    "|cf|cie|co|col|colo|conn|corp|cos|cpl|ct|dak|dec|dept|det|drs?|elec|ens|esq|est|etc|ext|feb|fla|fri|ft|ga|gen|gov"
    "|hon|inc|ind|insp|intl|invt|jan|jos|jr|jul|jun|kans?|ky|lt|ltd|maj|mar|md|messrs|mich|minn|mlle|mme|mo|mont?|mrs?"
    r"|ms|msgr|mt|natl|neb|nev|nov|oct|okla|penn|pfc|ph(?:\.d)?|plc|pres|profs?|pvt|rd|reps?|rev|rt|sens?|sept?|seq|sfc"
    "|sgt|spc|sq|sr|ste?|sys|tel|tenn|thu(?:rs)?|tues?|univ|va|vs|vt|wed|wisc?|wm|wyo)"
    "|A(?:rk|RK|z|Z)|D(?:el|EL)|I(?:ll|LL)|L[aA]|M(?:ass|ASS|iss|ISS)|[mM][ft]g|O(?:re|RE)|P[aA]|[pP]t(?:es?|y)"
    "|T(?:ex|EX)|W(?:ash|ASH))",
    "numbered": "(?i:art|ca|figs?|nos?|op|pp|prop)",
    # What begins a sentence, so that a single letter before it has no full stop of its own
    "starter": r"(?:(?=[A-Z])(?i:a|about|according|additionally|after|an|as|at|but|earlier|he|her|here|however|if|in"
    r"|it|last|many|more|mr\.|ms\.|now|once|one|other|our|she|since|so|some|such|that|the|their|then|there|these|they"
    r"|this|we|what|when|while|yet|you)\s|</?[A-Za-z][^<>]{0,1000}>(?:\s|\Z))",
    "value": r"""(?:"[^"\r\n]{0,1000}"|'[^'\r\n]{0,1000}'|[A-Za-z][A-Za-z0-9:.-]*)""",
    "file_type": "(?i:bat|bmp|c|class|cgi|cpp|dll|docx?|exe|gif|gz|h|html?|jar|java|jpe?g|mov|mp3|pdf|php|pl|png|ppt"
    "|ps|py|sql|tar|txt|wav|x|xml|zip)",
    "host": r"""(?:(?i:www)\.(?:[^\s"<>|.!?(){},]+\.)+[a-zA-Z]{2,4}"""
    r"""|(?:(?:[^\s"`'!(){}|$,-_]{1,63}|[A-Z])\.)+(?i:com|net|org|edu))""",
    "path": r"""[^\s"<>|(){}]+[^\s"<>|.!?(){},-]""",
}
_RULES = {
    "tag": r"</?[A-Za-z][A-Za-z0-9_:.-]*(?: +[A-Za-z][A-Za-z0-9:.-]*(?: *= *{value})?)*+ *+/? *+>"
    r"|<[!?][A-Za-z-][^>\r\n]{0,1000}>",
    "entity": "&(?:HT|TL|UR|LR|QC|QL|QR|odq|cdq|#[0-9]+|(?i:amp|lt|gt|quot|apos|nbsp|mdash|ndash|md));|-[LR][RCS]B-",
    "word": r"[A-Za-z][A-Za-z0-9]*?(?=n{A}t)|{L}(?:{L}|\d)*(?:[.!?]{L}(?:{L}|\d)*)*",
    "language": r"(?i:c\+\+|[cf]#)",
    "clitic": "(?i:n{A}t|{A}(?:[msd]|re|ve|ll))(?![A-Za-z])|(?i:'t(?=is|was))",
    "short_word": r"(?i:'n'|'em|'till?|'cause|'[2-9]0s|'\d\d{end}|ol'|[ldjy]{A}|c'mon|n?e'er|ev'ry|nor'easter)",
    "joined_word": r"[dloDLO]{A}{L}(?:{L}|\d)+|[nA-HJ-XZ]{A}{L}{2,}",  # o'clock
    "vowel_word": "{L}+[aeiouyAEIOUY]{A}[aeiouA-Z]{L}*",  # ma'am
    "address": "(?i:https?)://{path}|{host}(?:/{path})?",
    "mail": r"""(?:<|&lt;)?[a-zA-Z0-9][^\s"<>|(){}]{0,63}@(?:[^\s"<>|(){}.]+\.)*[^\s"<>|(){}.]+(?:>|&gt;)?""",
    "mention": r"@[a-zA-Z_][a-zA-Z_0-9]*|#{L}+",
    "date": r"\d{1,2}[-/]\d{1,2}[-/]\d{2,4}",
    "number": r"[-+]?(?:\d*(?:[.:,]\d+)+|\d+)",
    "number_in_list": r"\d+\.(?=[,;:])",
    "fraction": r"(?:\d{1,4}[- \u00a0])?\d{1,4}(?:\\?/|⁄)\d{1,4}",
    "telephone": r"(?:\(\d{2,3}\)[ \u00a0]?"
    r"|(?:\+\+?)?(?:\d{2,4}[- \u00a0])?\d{2,4}[- \u00a0])\d{3,4}[- \u00a0]?\d{3,5}",
    "with_slash": r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:\\?/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2}",  # and/or, 1/250s
    "with_hyphen": r"(?:{L}|\d)+(?:[-_֊‐‑](?:{L}|\d)+)+|\d(?:{L}|\d)*",  # and 50mm
    "dotted_hyphen": r"[A-Za-z0-9][A-Za-z0-9.,]{0,100}(?:-(?:(?:[A-Za-z]\.){2,}|[A-Za-z0-9]+))+",  # non-U.S.
    "with_and": "[A-Z]+(?:(?:[+&]|&amp;)[A-Z]+)+",  # Q&A
    "currency": r"[A-Z]*\$|[#¢-¥₠₤€]",
    "initials": r"(?:[A-Za-z]\.){2,}|[A-Za-z]\.(?!\s+{starter})",  # U.S.
    "short": r"(?=[A-Za-z.]{2,9}\.)(?:{abbreviation}\.|{numbered}\.(?=\s*\d))",
    "file": r"[A-Za-z0-9]{1,100}(?:\.[A-Za-z0-9]{1,100}){0,9}\.{file_type}(?=[\s.,?!]|\Z)",
    "smiley": r"[<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]](?![A-Za-z0-9])",
    "face": r"[\^x=~<>]\.[\^x=~<>]|[-\^x=~<>']_[-\^x=~<>']|\([-\^x=~<>'][_.]?[-\^x=~<>']\)|\([\^x=~<>']-[\^x=~<>'`]\)",
    "raised": "[⁺⁻₊₋]?(?:[⁰¹²³⁴-⁹]+|[₀-₉]+)",
    "run": r"[?!]+|-+|\.{3,4}|\*+|_+|#+|@+|<<|>>|(?:\\\*)+|''",
    "sign": r"[$%&;=\\^|~,:+/\[\](){}<>*`¡¦-©¬®-±´¶-¸¼-¿×÷;·։־׀׃׳״\u0600-\u0603\u0606-\u060c؛؞؟٪٭۔।॥฿๏"
    r"‖‗‚„‟†-‣‰-‸※‾-⁂⁺-⁾₊-₎℀-⅏⅓-⅞←-␦⑀-⮕、。〒・！-＠［-｀｛-･￠￡￥￦]",
}


def _filled(rule: str) -> str:
    return re.sub(r"\{([A-Za-z_]+)\}", lambda part: _PARTS[part[1]], rule)


_PATTERNS = [re.compile(_filled(rule)) for rule in _RULES.values()]
# Words, numbers and punctuation as most stand in a text: no rule finds more, and this is ten times as fast
_QUICK = re.compile(
    _filled(
        r"\s*+([A-Za-z]++(?:-[A-Za-z]+)*+(?=[\s;)]|[,?!:]{end}|\Z)|\d+[A-Za-z]*(?=\)|[,;]\s)|[\])\"]|\((?=[A-Za-wyz])"
        r"|(?:[,;.?!|=+~%&/\\]|[*]+|#+|_+|-+){end}"
        r"|(?=[A-Za-z]{2,}+\.{end})(?!(?:{abbreviation}|{numbered})\.)[A-Za-z]+"
        r"|(?=[A-Za-z]++{A}t(?:[ ,.;)]|\Z))[A-Za-z]+(?=n{A})"
        r"|(?:[A-Za-z]{2,}+|I)(?={clitic}(?:[ ,.;)]|\Z))|(?:n{A}t|{clitic})(?=[ ,.;)]|\Z))?"
    )
)
# Where a token may hold white space or look beyond it; elsewhere words repeat, so each is split once
_CROSSING = re.compile(r"\d|<|(?<![A-Za-z])[A-Za-z]\.\s")
LONG = 100  # characters of a word that is not worth keeping
_SPLIT = re.compile(r"(can(?=not)|[gw][ao]n(?=na)|got(?=ta)|[lg][ei]m(?=me))(not|na|ta|me)")
_BRACKETS = {"[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_WRITTEN = {  # as the tool set writes it
    **{
        "½": "1/2",
        "¼": "1/4",
        "¾": "3/4",
        "⅓": "1/3",
        "⅔": "2/3",
        "¢": "cents",
        "£": "#",
        "¤": "$",
        "€": "$",
        "₠": "$",
    },
    **{"&amp;": "&", "&lt;": "<", "&gt;": ">", "’": "'"},
    **dict.fromkeys(["&nbsp;", "&quot;", "&apos;", "&mdash;", "&ndash;", "&md;", "''"], ""),
}
_REWRITTEN = re.compile("|".join(_WRITTEN))
_PUNCTUATION = frozenset("\"'`.?!,:-;") | {"--", "---", "----", "...", "....", ""}


def ptb_tokens(text: str) -> list[str]:
    """Split a text into words.

    Example:
        >>> " ".join(ptb_tokens("It isn't sharp: the cup's well-lit rim (left) is 2.5x blurred."))
        "it is n't sharp the cup 's well-lit rim -lrb- left -rrb- is 2.5 x blurred"
    """
    text = text.replace("\u00ad", "")
    if _CROSSING.search(text):
        return _tokens(text)
    return [token for word in text.split() for token in (_known(word) if len(word) < LONG else _tokens(word))]


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    at = 0
    while at < len(text):
        quick = _QUICK.match(text, at)
        token, at = (quick[1], quick.end()) if quick else (None, at)
        if token is None:
            end = max((found.end() for rule in _PATTERNS if (found := rule.match(text, at))), default=at)
            token, at = text[at:end], max(end, at + 1)
        if token not in _PUNCTUATION:
            tokens += _spelled(token.lower())
    return tokens


_known = lru_cache(1 << 16)(_tokens)


def _spelled(token: str) -> list[str]:
    """A token in small letters as the tool set writes it; nothing if it is punctuation."""
    if split := _SPLIT.fullmatch(token):
        return [*split.groups()]
    if token.isascii() and token.isalnum():
        return [token]
    if not (token[0] == "<" and token[-1] == ">"):  # a tag stays
        token = _REWRITTEN.sub(lambda found: _WRITTEN[found[0]], _BRACKETS.get(token, token))
        token = token.replace("(", "-lrb-").replace(")", "-rrb-")
    return [] if token in _PUNCTUATION else token.split()
