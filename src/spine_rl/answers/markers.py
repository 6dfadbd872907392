"""The words by which an answer is found, a language at a time: the one table that a new language or phrasing goes into.

Every entry is a regular expression without groups. Words of languages that separate them by spaces are matched as whole
words; Chinese, Japanese and Korean ones wherever they stand.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Language:
    """How a language announces an answer, chooses an option, hedges, declines and takes its leave.

    Attributes:
        spaced: Whether words stand between spaces.
        stems: With which a marker begins, in small letters: they are looked for first, for speed.
        answer: Nouns for the answer: "answer", "réponse".
        is_: What stands between that noun and the answer, besides a colon: "is", "lautet".
        fillers: First words of what may stand before that: "to the question", "in simplest form".
        option: Nouns before a letter: "option C".
        choose: Verbs before a letter: "I choose C".
        right: What is said of a letter that is the answer: "C is correct".
        best: What is said only of the one answer: "C is the correct answer".
        wrong: What is said of a letter that is not: "C is wrong".
        not_: What denies the letter or word after it: "not C".
        hedges: Words before a letter that change nothing: "most likely C".
        and_: What joins several answers: "B and C".
        yes, no, maybe: The answers of type `yes_no`.
        refusal: A response that declines to answer.
        explains: What stands before the reasons for an answer: "Explanation".
        courtesy: How a sentence begins that follows an answer and holds none: "I hope this helps".
    """

    spaced: bool = True
    stems: tuple[str, ...] = ()
    answer: str = ""
    is_: str = ""
    fillers: str = ""
    option: str = ""
    choose: str = ""
    right: str = ""
    best: str = ""
    wrong: str = ""
    not_: str = ""
    hedges: str = ""
    and_: str = ""
    yes: str = ""
    no: str = ""
    maybe: str = ""
    refusal: str = ""
    explains: str = ""
    courtesy: str = ""


ENGLISH = Language(
    stems=("answer", "choice", "option", "ans"),
    answer=r"answer|choice|option|ans",
    is_=r"is|are|was|(?:would|should|must|will|has to) be|(?:might|could|may) be(?!\s+(?:\w+ed|found|seen|given)\b)"
    r"|(?:seems|appears|turns out|comes out) to be|equals|comes to|becomes",
    fillers=r"to|for|of|in|as|given|rounded|from|with|that|which|here|expressed|we|i|you|therefore|then|after|based",
    option=r"options?|choices?|answers?|letters?",
    choose=r"choose|chose|chosen|pick|picked|select|selected|(?:go|going|went) with|opt for|opted for|guess"
    r"|(?:i'll|i'd|i will|i would|let's) (?:say|take)",
    right=r"(?:is|was|are|seems|looks|appears|would be|must be|should be)(?: to be)? (?:the )?(?:correct|right|best"
    r"|accurate)",
    best=r"(?:is|was|seems|appears|would be|must be|should be)(?: to be)? (?:the )?(?:(?:only|single) )?"
    r"(?:most )?(?:correct|right|best|likely|accurate|appropriate|suitable|reasonable|plausible|logical) "
    r"(?:answer|option|choice)|is (?:the|my) (?:final )?answer"
    r"|(?:is|seems) (?:the )?most (?:suitable|appropriate|accurate|likely|plausible|reasonable|fitting|logical)"
    r"(?=\s*(?:$|[.,;]|given|because|since|here|among|of\b))"
    r"|(?:fits|works|matches) best|makes (?:the )?most sense|(?:is|seems) the best (?:fit|match)",
    wrong=r"(?:is|are|was|were|can be|must be|seems) (?:also |both |clearly |therefore |thus |most |likely |probably )*"
    r"(?:incorrect|wrong|false|untrue"
    r"|inaccurate|ruled out|eliminated|excluded|irrelevant)"
    r"|(?:(?:is|are|was|were)(?:n't| not)|cannot be|can't be|could not be|does not|doesn't|do not|don't) (?:the |be "
    r"|an? |seem"
    r" |also )*(?:correct|right|best|true|answer|option|choice|fit|match|apply|work|make sense)",
    not_=r"not|never|neither|nor|cannot be|rather than|instead of|rule out|rules out|eliminate|exclude|unlike|except"
    r"|check|examine|evaluate|look at",
    hedges=r"most likely|most probably|likely|probably|perhaps|possibly|definitely|clearly|indeed|therefore|thus"
    r"|hence|simply"
    r"|just|actually|still|closest to|surely|certainly|obviously|either",
    and_=r"and|or|as well as|both",
    yes=r"yes", no=r"no", maybe=r"maybe",
    refusal=r"(?:can ?not|can't|could not|couldn't|unable to|impossible to|not possible to|no way to|difficult to"
    r"|hard to)"
    r"(?: be)?(?: (?:accurately|definitively|fully|uniquely|directly|exactly|possible|possibly|precisely|reliably))*"
    r" (?:determin|find|found|calculat|comput|solv|answer|know|tell|conclude|ascertain|infer|deduc|provid|say|help"
    r"|assist"
    r"|identif|establish|predict|decide)\w*"
    r"|(?:not enough|insufficient|too little|no sufficient|lack of|without (?:more|additional|further|any)|more"
    r"|additional"
    r"|missing) (?:information|info|data|context|details|evidence)"
    r"|(?:not|n't) (?:given|provide|provided|contain|have|include|specify|specified|supply) (?:enough|sufficient|any)"
    r"|(?:information|data|details) (?:given |provided )?(?:is|are) (?:not sufficient|insufficient|not enough|missing"
    r"|incomplete)"
    r"|i (?:do not|don't|really don't) know|i (?:am|'m) (?:not sure|unable|sorry|unsure)|i'm afraid|as an ai"
    r"|none of these"
    r" options|no idea",
    explains=r"explanation|reason|reasoning|justification|rationale|why",
    courtesy=r"(?:i |we )?(?:truly |really )?hope|let me know|feel free|please (?:let|feel|note|ask)|if you(?:'d"
    r"| would| have"
    r"| need)|good luck|thank|thanks|happy to|glad to|you're welcome|is there anything|do you (?:have|need|want"
    r"|understand)"
    r"|would you like|have a (?:great|nice|good)|(?:any|further) questions|cheers|best (?:regards|wishes)"
    r"|does (?:this|that)"
    r" (?:help|make sense)|i am confident|great job|well done|enjoy",
)  # fmt: skip

CHINESE = Language(
    spaced=False,
    stems=("答", "选", "结果", "正确"),
    answer=r"答\s?案|(?<=正确)选项|(?<=的)选项|正确的?(?=[是为:：])|结果",
    is_=r"(?:应该|应当|应|就|便|只能|最可能|可能)*(?:选择|选|是|为)",
    option=r"选项|选择|选|第",
    choose=r"(?<![不可])选择?|[应该]选",
    right=r"(?:是|为)?(?:正确|对)的?|符合(?:题意|要求|条件)?|为?真",
    best=r"(?:是|为)(?:正确|最佳|最终|最合适|最恰当)?的?(?:答案|选项)|(?:是|为)?正确(?:答案|选项)",
    wrong=r"(?:是|为)?(?:错误|不正确|错|不对|不符合?|不成立|不是|不选|不能选|应?排除|无关|不合)",
    not_=r"不选|不是|排除|并非|而非|不应选|除了",
    hedges=r"应该|大概|可能|最可能|很可能|也许",
    and_=r"和|与|及|以及|或|或者|跟|还有",
    yes=r"是的?|对的?|正确", no=r"否|不是|不对|不正确|错误|不(?=[，,。])", maybe=r"可能是?|不确定|也许",
    refusal=r"(?:无法|不能|难以|没法)(?:确定|判断|计算|得出|求出|求解|得知|回答|推断|确认)|(?:信息|条件|数据|资料)(?:不足|不够|缺失|不完整)"
    r"|没有足够|缺少(?:信息|条件|数据)|不知道|很?抱歉|对不起",
    explains=r"解释|解析|理由|原因|说明",
    courtesy=r"希望|如果(?:你|您|还)|如有|请(?:随时|告诉)|祝|谢谢|感谢|需要(?:我|更多)|有(?:任何|其他)",
)  # fmt: skip

FRENCH = Language(
    stems=("réponse", "reponse", "solution finale", "résultat final"),
    answer=r"réponse|reponse|solution finale|résultat final",
    is_=r"est(?: donc)?|serait|doit être|sera|vaut",
    fillers=r"à|au|de|du|en|pour|que|correcte|finale|exacte|juste",
    option=r"réponse|option|choix|lettre|proposition",
    choose=r"choisis|choisir|choisissons|opte pour|sélectionne",
    right=r"est (?:la )?(?:correcte?|juste|exacte?|bonne|vraie?)",
    best=r"est (?:donc )?la (?:bonne |meilleure )?réponse(?: correcte)?",
    wrong=r"n'est pas (?:la )?(?:correcte?|juste|bonne|exacte?)|est (?:fausse|faux|incorrecte?|éliminée?)",
    not_=r"n'est pas|pas|ni|plutôt que|au lieu de|exclure|sauf",
    hedges=r"probablement|sans doute|donc|la|le|certainement|sûrement|peut-être",
    and_=r"et|ou",
    yes=r"oui", no=r"non", maybe=r"peut-être",
    refusal=r"impossible (?:de|à) (?:déterminer|savoir|calculer|répondre)|(?:ne peut pas|ne peux pas"
    r"|ne pouvons pas) (?:être )?"
    r"(?:déterminer?|déterminée?|calculer?|répondre|savoir)|pas assez d[e'] ?(?:informations?|données)"
    r"|je ne sais pas|désolée?",
    explains=r"explication|raison|justification",
    courtesy=r"j'espère|n'hésite[zr]?|si (?:vous|tu) (?:avez|as)|bonne chance|merci|bonne journée",
)  # fmt: skip

GERMAN = Language(
    stems=("antwort", "ergebnis", "endergebnis", "lösung"),
    answer=r"antwort|ergebnis|endergebnis|lösung",
    is_=r"ist(?: also| daher| somit)?|lautet(?: also| daher)?|wäre|beträgt|muss|sind",
    fillers=r"auf|zu|für|in|der|des|die",
    option=r"antwort|option|möglichkeit|buchstabe|auswahl|aussage",
    choose=r"wähle|wählen|nehme|entscheide mich für|tippe auf",
    right=r"(?:ist (?:die )?)?(?:richtige?|korrekte?|zutreffend)|ist (?:die )?beste",
    best=r"ist (?:also |daher |somit )?die (?:richtige|korrekte|beste)(?: antwort| option| lösung)?",
    wrong=r"ist (?:nicht (?:richtig|korrekt|die)|falsch|unzutreffend|ausgeschlossen)",
    not_=r"nicht|weder|noch|statt|anstatt|außer|kein(?:e|er|es)?",
    hedges=r"wahrscheinlich|vermutlich|wohl|also|daher|somit|vielleicht|die|der|das|sicher|sicherlich",
    and_=r"und|oder|sowie",
    yes=r"ja", no=r"nein", maybe=r"vielleicht",
    refusal=r"(?:kann|können|lässt sich|konnte)(?: \S+){0,3}? nicht (?:bestimm|berechn|beantwort|ermittel|sagen"
    r"|feststell|entscheid)\w*"
    r"|nicht (?:genug|genügend|ausreichend)\w* (?:informationen|daten|angaben)|(?:ich )?weiß (?:es )?nicht"
    r"|tut mir leid|leider",
    explains=r"erklärung|begründung",
    courtesy=r"ich hoffe|wenn (?:du|sie) (?:noch|weitere)|lass mich wissen|viel (?:erfolg|glück)|danke"
    r"|gern geschehen|falls",
)  # fmt: skip

RUSSIAN = Language(
    stems=("ответ",),
    answer=r"ответ(?:ом)?",
    is_=r"является|равен|равно|будет|это",
    fillers=r"на|к|в|для|задачи",
    option=r"ответ|вариант|вариант ответа|буква|пункт|выбор",
    choose=r"выбираю|выбираем|выбрать|выберем|выбор",
    right=r"(?:является |— |- |это )?(?:правильны[йм]|верны[йм]|верно|правильно|верен|правилен)",
    best=r"(?:является |— |- |это )?(?:правильный|верный|правильным|верным) (?:ответ|вариант)(?:ом)?",
    wrong=r"(?:является |— |- |это )?(?:не(?:правильн|верн)\w+|не (?:подходит|является|верно)|ошибочн\w+|исключ\w+)",
    not_=r"не|ни|вместо|кроме|исключаем",
    hedges=r"вероятно|скорее всего|наверное|возможно|видимо|конечно|точно",
    and_=r"и|или|а также",
    yes=r"да", no=r"нет", maybe=r"возможно|может быть",
    refusal=r"(?:невозможно|нельзя|не могу|не удаётся|не удается|затруднительно) (?:точно "
    r"|однозначно )?(?:определить|вычислить|найти|ответить|сказать|решить)"
    r"|недостаточно (?:информации|данных|сведений)|не знаю|к сожалению|извините",
    explains=r"объяснение|пояснение|обоснование",
    courtesy=r"надеюсь|если (?:у вас|есть|что)|обращайтесь|удачи|спасибо|пожалуйста|рад помочь",
)  # fmt: skip

KOREAN = Language(
    spaced=False,
    stems=("정답", "해답", "답"),
    answer=r"정답|해답|답안|답변|(?<!정)(?<!해)답",
    is_=r"(?:은|는|이|가)",
    option=r"정답|선택지|보기|답",
    choose=r"선택하면|고르면",
    right=r"(?:번)?\s?(?:이|가)?\s?(?:맞|옳|정답|올바)",
    best=r"(?:번)?\s?(?:이|가)?\s?정답",
    wrong=r"(?:번)?\s?(?:은|는|이|가)?\s?(?:틀|오답|아니|옳지|맞지)",
    not_=r"아닌|제외",
    hedges=r"아마|아마도|따라서",
    and_=r"와|과|및|또는|그리고|하고",
    yes=r"네|예|맞습니다", no=r"아니요|아니오|아닙니다", maybe=r"아마도|아마",
    refusal=r"(?:알|결정할|판단할|구할|계산할|확인할|확정할) 수 없|정보가 (?:부족|충분하지)|모르겠|모릅니다|죄송",
    explains=r"설명|해설|이유",
    courtesy=r"도움이 (?:되|됐)|궁금한|추가|감사합니다|질문이",
)  # fmt: skip

JAPANESE = Language(
    spaced=False,
    stems=("解答", "回答", "答え", "正解", "正答"),
    answer=r"解答|回答|答え|正解|正答",
    is_=r"は|が",
    option=r"選択肢|正解|答え",
    choose=r"選ぶ",
    right=r"(?:が|は)(?:正しい|正解|適切)",
    best=r"が(?:正解|答え|正しい答え)",
    wrong=r"(?:が|は)(?:誤り|間違|正しくない|不適切|不正解)",
    and_=r"と|または|および|か",
    yes=r"はい", no=r"いいえ", maybe=r"おそらく|たぶん",
    refusal=r"(?:判断|決定|計算|特定|回答)(?:する(?:こと)?が)?でき(?:ない|ません)|情報が(?:不足|足り)|わかりません|分かりません|申し訳",
    explains=r"説明|解説|理由",
    courtesy=r"お役に立|ご質問|ありがとう|他に",
)  # fmt: skip

SPANISH = Language(
    stems=("respuesta", "resposta", "risposta", "opción", "opcion", "opção", "alternativa", "resultado"),
    answer=r"respuesta|resposta|risposta|(?:opci[oó]n|opção|alternativa) corr\w+|resultado",
    is_=r"es|sería|é|è|debe ser|será",
    fillers=r"a|de|en|para|final|correcta|correta|corretta",
    option=r"respuesta|opción|opcion|letra|alternativa|opção|risposta|opzione",
    choose=r"elijo|elegir|escojo|selecciono|escolho|scelgo",
    right=r"(?:es|é|è) (?:la |a )?(?:correct[ao]|corret[ao]|corrett[ao]|mejor|melhor|migliore)",
    best=r"(?:es|é|è) (?:la|a) (?:respuesta|opción|resposta|opção|risposta|alternativa)(?: corr\w+)?",
    wrong=r"(?:no|não|non) (?:es|é|è) (?:la |a )?(?:corr\w+|respuesta|resposta|risposta)|(?:es|é|è) (?:incorrect[ao]"
    r"|fals[ao]|errad[ao])",
    not_=r"no|não|ni|nem|en lugar de",
    hedges=r"probablemente|provavelmente|probabilmente|la|a|seguramente|quizás",
    and_=r"y|o|e|ou",
    yes=r"sí|sim|sì", no=r"não", maybe=r"quizás|tal vez|talvez|forse",
    refusal=r"no se puede (?:determinar|calcular|saber|responder)|não (?:é possível|se pode) (?:determinar|calcular"
    r"|saber)"
    r"|no hay (?:suficiente|suficientes)|información insuficiente|no (?:lo )?sé|não sei|lo siento|non (?:è possibile"
    r"|si può)",
    explains=r"explicación|explicação|spiegazione|razón|justificación",
    courtesy=r"espero que|si (?:tienes|tiene|necesitas)|no dudes|buena suerte|gracias|obrigad[oa]|spero",
)  # fmt: skip

OTHERS = Language(  # Arabic, Vietnamese, Indonesian, Polish, Dutch, Swahili
    stems=("الإجابة", "الاجابة", "الجواب", "câu trả lời", "đáp án", "đáp số", "jawaban", "odpowied",
           "antwoord", "jibu"),
    answer=r"الإجابة|الاجابة|الجواب|câu trả lời|đáp án|đáp số|jawaban|odpowiedź|antwoord|jibu",
    is_=r"هي|هو|là|adalah|(?<=odpowiedź )to|jest|(?<=jibu )ni",
    fillers=r"الصحيحة|الصحيح|النهائية|النهائي|đúng|cuối|chính|yang|akhir|sahihi",
    option=r"الخيار|lựa chọn|phương án|opsi|pilihan|opcja|optie",
    yes=r"نعم|có", no=r"لا|không|tidak",
)  # fmt: skip

VERB_LAST = Language(  # Hindi, Bengali, Telugu, Turkish, Thai: an answer may follow its noun at once
    spaced=False,
    stems=("उत्तर", "উত্তর", "సమాధానం", "జవాబు", "cevap", "คำตอบ"),
    answer=r"उत्तर|উত্তর|సమాధానం|జవాబు|cevap|คำตอบ(?:ที่ถูกต้อง|สุดท้าย)?",
    is_=r"คือ|\sহলো?",
    option=r"विकल्प|বিকল্প|seçenek|ข้อ|ตัวเลือก",
    yes=r"हाँ|হ্যাঁ|evet|ใช่", no=r"नहीं|না|hayır|ไม่",
)  # fmt: skip

LANGUAGES = (ENGLISH, CHINESE, FRENCH, GERMAN, RUSSIAN, KOREAN, JAPANESE, SPANISH, OTHERS, VERB_LAST)

THOUGHTS = (  # reasoning between these is no answer, and one that is not closed leaves none
    ("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"), ("[THINK]", "[/THINK]"), ("◁think▷", "◁/think▷"),
    ("<seed:think>", "</seed:think>"), ("<reflection>", "</reflection>"), ("<scratchpad>", "</scratchpad>"),
)  # fmt: skip

# What stands in a box, or after a marker, where an answer was to be filled in.
PLACEHOLDER = (
    r"(?:(?:your|the|my|insert|final|correct|write|put|enter|place|numerical|numeric|exact|single|a|an|here|in|of"
    r"|letter|value"
    r"|integer|number|answer|result|solution|option|choice|expression|box|here\.|this)\b[\s_-]*)*"
    r"(?:answer|ans|result|solution|value|number|letter|option|choice|expression|integer|here|response|text"
    r"|placeholder)s?"
    r"|tbd|todo|n/?a|null|undefined answer|x{3,}|答案|最终答案|你的答案|选项|结果|数字"
    r"|réponse|antwort|ответ|정답|답|respuesta"
)


def join(field: str, *, spaced: bool | None = None) -> str:
    """One alternation of an entry over the languages, or over those with (or without) spaces between words."""
    entries = [getattr(each, field) for each in LANGUAGES if spaced is None or each.spaced == spaced]
    return "|".join(filter(None, entries))


def words(field: str) -> str:
    """`join` as whole words, where words stand between spaces."""
    return rf"(?:(?<!\w)(?:{join(field, spaced=True)})(?!\w)|(?:{join(field, spaced=False)}))"
