"""Posts that an export is checked on where no data is given: written for this project, nobody's.

They are short, everyday and of all the questions' subjects, so that labels of every kind are read.
"""

from __future__ import annotations

POSTS: tuple[str, ...] = (
    "The exam is on Thursday and I have read the same page four times. My flatmate says I know it. "
    "I don't feel as if I know my own name.",
    "Rent is due on the first and the garage wants eleven hundred. I keep moving the same numbers "
    "around on the back of an envelope.",
    "Went for a long walk by the river with the dog, made soup, called my aunt. A quiet Sunday, "
    "and for once I slept through.",
    "Since I moved here I talk to the cashier and to nobody else. On Fridays I hear my neighbours "
    "laugh through the wall.",
    "Mum moved in after her hip. She apologises for the stairs, and I hear myself say it is no "
    "trouble, too fast.",
    "My manager put my project on the last slide without my name. I smiled. Then I sat in the car "
    "for an hour before I could drive.",
    "For weeks everything has been grey. I get up, I work, I eat something. My sister asks how I "
    "am and I look for the answer as if I had lost it.",
    "They changed my tablets again. Now my hands shake in the morning, and the pharmacist was the "
    "only one who asked how I was coping with it.",
    "A door slammed in the office and I was back in that car, glass everywhere. It was nine years "
    "ago. My heart took until lunch to believe it.",
    "He says nobody else would put up with me. After seven years I have started to think in his "
    "voice. I packed a bag and it stands behind the door.",
    "I pray again, mornings, like my grandmother did. It is not that I am sure. It is that the day "
    "has a beginning now.",
    "They would have it easier without me in the house. I do not say it aloud. I wash up, so that "
    "I am good for something.",
    "I cannot choose between the two flats. I made a list, then a list of the lists. My friend "
    "took my phone away and ordered us noodles.",
    "Started the evening course in statistics. I am the oldest by far and I ask the most. I had "
    "forgotten that learning something can feel like this.",
    "Some days I am so full of plans that I do not sleep, I write and ring people at two at "
    "night. And then comes the week under the blanket.",
    "Physio twice a week, ten minutes on the bike, no sugar. The knee is still the knee, but I "
    "took the stairs today and only noticed at the top.",
)
