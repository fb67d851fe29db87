"""Texts on which tokenizers are compared, and text on which small vocabularies are trained."""

PROMPTS = [
    "",
    " ",
    "a",
    "a photo of a cat",
    "A Photo Of A CAT, wearing a RED hat!",
    "  leading, and   repeated\t\tspaces\n\nand\r\nlines  ",
    "it's the dog's, isn't it? they're we've I'm she'll he'd 'S 'T",
    "don't stop!!! ... --- ??? (((very))) [[deep]] {x:1.2} a.b,c;d:e",
    "1 12 123 2024 3.14159 1,000,000 10% $5 #7 ½ ² ① 四 ٣",
    "café naïve Ångström façade coöperate São Paulo ÉCOLE",
    "cafe\u0301 nai\u0308ve A\u030angstro\u0308m",
    "straße ﬁne ﬂow Ⅷ ｆｕｌｌｗｉｄｔｈ ＡＢＣ１２３ ㍿ ㎞",
    "İstanbul ΣΊΣΥΦΟΣ ὈΔΥΣΣΕΎΣ ЩУКА мир ǅ",
    "日本の庭園、桜と池。",
    "一只猫坐在窗台上，阳光明媚",
    "한국의 궁궐 한국",
    "مدينة قديمة عند الغروب",
    "एक सुंदर बाग़ नमस्ते",
    "a 🐱 and a 🐶🐶 with 👩‍🚀👍🏽 ❤️ 🇫🇷",
    "😀😀 😀",
    "&lt;b&gt; &amp; &quot;quoted&quot; &#39;x&#39; <b>bold</b>",
    "fish &amp; chips &#8217;s &#x41;&nbsp;&amp;amp; &unknown; AT&T",
    "“curly” ‘quotes’ «guillemets» \"straight\" 'single' `tick`",
    "em—dash en–dash ellipsis… bullet • degree ° trademark ™ ©",
    "zero\u200bwidth no\u00a0break soft\u00adhyphen bom\ufeff line\u2028sep nel\u0085x",
    "control\x01characters\x7f and nul\x00 here",
    "ideographic\u3000space thin\u2009space ogham\u1680space",
    "<|startoftext|> hello <|endoftext|> world <|ENDOFTEXT|>",
    "</s> hello<pad>world <unk> <extra_id_0>, <extra_id_99>",
    "a ! b!! !c, wow!",
    "▁under▁score _low_ snake_case kebab-case CamelCase",
    "https://example.org/path?q=1&r=a%20b#top user@mail.example",
    "(a painting of a fox:1.3), [blurry], masterpiece, best quality, 8k, f/1.4, ISO-100",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "abababababababababab bababababa 0101010101",
    "xyzzy qwrtpsdf ʘǁʞ ꙮ 𝒜𝓃𝒸 𐍈 🜁",
    "a \u0301 b\u0308\u0323 q\u0307\u0323 \u0344",
    "ｶﾞﾗｽ ￥１００ ﬆ Ǳ ǲ ʼn",
    "ﷺ ﬀ ǆ Ĳ ŉ ſ K Å",
    "An extremely detailed and long description of a mountain village in late autumn, with smoke "
    "rising from the chimneys of forty small wooden houses, children who run after a brown dog "
    "down the cobbled street, an old woman selling apples and pears from a cart with one broken "
    "wheel, a church whose bell tower leans a little to the left, and behind it all, three "
    "snow-covered peaks under a pink and orange sky, oil on canvas, in the style of the old "
    "masters, dramatic light, wide angle, award winning",
    " ".join(f"word{i}" for i in range(60)),
    "!" * 100,
    "naïve " * 40,
]

CORPUS = """
A photo of a cat on a mat. A photo of two dogs in the park, and a small red bird on a tree.
The quick brown fox jumps over the lazy dog; the dog doesn't mind, it's asleep.
They're walking along the river, she'll be there soon, we've seen it, I'm sure he'd like it.
An oil painting of a mountain village in autumn, dramatic light, wide angle, best quality.
In the garden there were apples, pears and cherries: 1, 2, 3, 12, 100, 2024, 3.14 and 50%.
A café in São Paulo, a naïve façade, Ångström and coöperate, straße und Brücke, señor, élan.
Ein Haus am See, eine Katze im Fenster, der Himmel ist blau und die Sonne scheint.
Une maison au bord du lac, un chat à la fenêtre, le ciel est bleu et le soleil brille.
日本の庭園、桜と池。一只猫坐在窗台上，阳光明媚。한국의 궁궐. مدينة قديمة. мир и кот. एक सुंदर बाग़
A wooden house with a stone roof, an old woman selling bread, children running down the street.
Blue sky over the sea, white sails, a lighthouse, gulls, waves; the smell of salt and summer.
"Straight quotes", 'single', (brackets), [square], {curly} <angle> & # @ / \\ | ~ ^ * + = _ -
a robot made of glass playing chess against an owl in a library with very tall shelves
three green cubes, five yellow spheres, a purple cone to the left of an orange cylinder
""" * 3


def words(count):
    """`count` different sentences, so that a vocabulary has something to learn from."""
    lines = [line for line in CORPUS.split("\n") if line]
    parts = " ".join(lines).split(" ")
    return [" ".join(parts[(i * 7) % len(parts):][:5 + i % 11]) for i in range(count)]
