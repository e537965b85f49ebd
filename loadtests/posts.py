"""What the load tests send: 32 posts, each written in full for this project, none a real person's.

They are of the length and kind that the service is asked about, everyday and sober, in voices that
differ, so that prompts have realistic sizes. They carry no labels: speed and stability are measured
on them, never quality.
"""

from __future__ import annotations

import re

POSTS: tuple[str, ...] = (
    # A retaken exam.
    'I failed the statistics exam in June and the retake is on Thursday. My tutor said "you know '
    "more than you think you do\", which was kind, but he hasn't seen me in front of a blank "
    "page. What happens is that I read the first question, my ears go hot, and then every formula "
    "I practised is behind a wall. Last time I left after forty minutes just so I could breathe "
    "in the corridor. This summer I did it differently: one old paper every second day, kitchen "
    "timer running, phone in my sister's room. The marks went from 31 to 58 and I have them on "
    "the fridge. If it goes wrong again I lose the placement in the spring. So I'm frightened, "
    "but I am also better at it than I was, and both of those are true tonight.",
    # The car and the rent.
    "The garage rang at ten past nine: the gearbox is gone, eleven hundred with labour, and could "
    "I decide by noon because they need the ramp. I drive forty kilometres to work and there is "
    "no bus before seven. So I sat in the canteen with the back of an envelope and moved numbers "
    "around. Rent is on the first. My daughter's school trip needs the second instalment next "
    "week, and I have promised her that one, out loud, twice. I could ask my brother, but he'd "
    "tell his wife and then it is a topic at Sunday lunch until Easter. In the end I said yes to "
    "the garage and put it on the card I'd sworn to cut up. I earn a normal wage, I don't drink "
    "it, I don't gamble, and still one bad noise under the bonnet is enough to keep me awake "
    "doing sums in the dark.",
    # Night shifts.
    "Eight months of nights in the parcel hall now. I took them for the extra pay and because my "
    "ex has the kids in the week anyway. What nobody tells you is how the days go missing. I get "
    "home when the neighbours are scraping ice off their windscreens, I sleep until two if the "
    "builders let me, and by the time I've eaten it is getting dark again. I've started snapping "
    "at people on the phone, the bank, my mum, and I forget words, silly ones such as "
    '"colander". My supervisor offered me the early shift from March, four hundred less a '
    "month. On paper I can't afford it. Yesterday, though, my son asked whether I still live in "
    "the same flat, because he has never once seen me there with the lights on and the curtains "
    "open. I think I have my answer, I just need to make the money agree.",
    # A mother who moved in.
    "Mum moved into our spare room in October, after her hip. We told each other it was until "
    "Christmas. It's nearly May. She is polite about it, which almost makes it harder: she rinses "
    "her cup at once, she asks before she turns the radio on, she apologises for the stairs. My "
    "husband says he doesn't mind, then goes to the shed for two hours. And me, I come home from "
    "a ward full of people who need something, hang up my coat, and there is one more person who "
    "needs something, and it's my own mother, who once worked two jobs so that I could have "
    "swimming lessons. Last night she said \"I'm a weight on you all, aren't I\", and I said of "
    "course not, too fast, and we both heard it. I went and sat in the bathroom with the tap on. "
    "I love her. I would also like one evening with nobody in it.",
    # Friends who drift.
    "There used to be five of us. We met in the first week of college and for six years there was "
    "always somebody's sofa. Then the weddings started, then the babies, then the houses outside "
    "town with a spare room that never quite gets finished. The group chat is about nap times "
    "now, and when I write something it gets a thumb. In February I found out from a photo that "
    "four of them had gone to the lake for a weekend. \"We thought it'd be boring for you with "
    'all the kids", Nora said when I asked, and I believe that she meant it well. I was oddly '
    "tired for days afterwards. I've joined a pub quiz with people from the climbing wall, and "
    "they're nice, they remember my name and what I drink. It isn't the same yet. Perhaps six "
    "years ago the sofas weren't anything special either, on the first evening.",
    # Sleep.
    "I've become an expert on the hours between three and five. The fridge clicks on at ten past "
    "three. My doctor asked me to keep a sleep diary, and it mostly says the same line eleven "
    "times over. I fall asleep all right, that was never the trouble, and then it's as though "
    "someone switches on a lamp inside my head and starts reading out the minutes of old "
    "meetings. During the day I function. I smile, I hold the door, I put the milk in the "
    "cupboard and the cereal in the fridge. The advice is to get up, sit in another room and do "
    "something dull until I'm sleepy, so I am learning the capitals of the world. I have got as "
    "far as Suriname. Two nights ago I slept until six and felt so well that I cried a little in "
    "the car, which shows how long this has been going on.",
    # A slow illness.
    "It was only supposed to be a bad cough. Then came the X-ray, nine days in hospital with "
    "pneumonia, and a discharge letter that says I may feel tired for some weeks. That was four "
    "months ago. I used to cycle to the office and take the stairs two at a time to annoy my "
    "colleagues. Now I plan a shower. I rest before it and I rest after it. The blood tests are "
    "fine, the lungs look fine, everyone keeps telling me how fine I look, and I've begun to "
    "dread the word. The physio gave me a sheet with very small goals and I was insulted by the "
    "first one, to the corner and back, until I needed a bench for it. This week I went around "
    "the whole block. An old man with a terrier overtook me and lifted his cap. I was out of "
    "breath and ridiculously proud, and then slept for three hours.",
    # A new city.
    "Three weeks in the new city. I have a key, a mattress, a kettle and one pan, and a job that "
    "starts properly on Monday. At home I knew the woman in the bakery and which step creaks. "
    'Here I say "excuse me" perhaps four times a day and that\'s the whole of my conversation. '
    "People are friendly enough. It's that nobody would notice. On Saturday I walked for five "
    "hours because the flat was too quiet, and I realised that if I sat down on any of those "
    "benches and stayed until Tuesday no one in this place would be waiting anywhere for me. I "
    "moved for good reasons and I'd do it again. On the way back I bought a plant, a big ugly one "
    "with leaves like paddles, carried it home on the tram, and a girl asked what it was called. "
    "I had no idea. We looked it up together between two stops.",
    # Working alone.
    "Remote work was my idea, I fought for it, and now I can go from Friday afternoon to Monday's "
    "stand-up without using my voice. I noticed because on Monday it came out as a croak and "
    "somebody asked whether I had a cold. Lately I leave a podcast on in the other room so that "
    "it sounds as if someone were in there, and I take longer than I need at the till. My sister "
    "rings on Sundays and asks \"so what's new\", and I find I've prepared an item, like for a "
    "meeting, so that she won't hear there is nothing. I put my name down for a desk in a shared "
    "office, two days a week, which costs more than it should. On the first morning a man I'd "
    "never met pushed the biscuits towards me without looking up. I thought about it all day.",
    # A good day.
    "Nothing happened today and I want to write it down. I woke before the alarm and it was "
    "already light. My knee didn't hurt. At the allotment the broad beans had come through, a "
    "whole row of little green fists, and old Mrs Adeyemi from the next plot leaned over the wire "
    'and said "well, look at you two", meaning me and the beans, I suppose. We drank tea from '
    "her flask. I dug for an hour, slowly, and for that hour I didn't once think about the "
    "tribunal or the letter or what he said. On the way back I bought fresh bread and ate half of "
    "it walking. Then I rang my daughter, and she was cooking and put me on the loudspeaker, so I "
    "just listened to her chop things and hum. I know that tomorrow may be a different matter. I "
    "still want it on record that there was a day like this in April.",
    # A hobby.
    "My workbench is a plank across two drawers in the hall, and on it there's always an old "
    'radio with its back off. I buy them at flea markets, the ones that say "not working", and '
    "I bring perhaps two out of three back. It started in the year when I couldn't concentrate on "
    "anything: not books, not films, I'd read the same page until the light went. But a radio "
    "asks one question at a time. Is there power here? And here? Then you find the one tired "
    "part, change it, and the whole thing warms up and clears its throat. My partner says that I "
    "whistle again, which I hadn't noticed. Last week I mended a set from 1957 for the man in the "
    "corner shop; it was his grandmother's. He turned it on, got some brass band through the "
    "crackle, and had to go and look for something in the back room.",
    # A year without drinking.
    "A year on Sunday since my last drink. I wasn't the sort who fell over in the street, I was "
    "the sort who was always fine, who drove to three different shops so that no one would see "
    "how often. My wife knew, of course. She said one sentence, very quietly, \"I can't watch "
    'this and be your friend", and went to bed. I rang the clinic the next day from the car '
    "park. What helped me was dull: the group on Tuesdays, sparkling water, going to bed at nine "
    "like a child. There are things I can't mend. I missed most of my son's fifteenth year while "
    "sitting in the same room. But he asked me to teach him to drive, and last Saturday he "
    "stalled at the lights four times, swore, looked at me sideways to see what I'd do, and I "
    "laughed. A year ago I wouldn't have been safe to sit there.",
    # A grandfather.
    "We buried my grandfather on a Wednesday, in the rain, with half of the bowling club in "
    "attendance. He was ninety-one and it was peaceful, and everybody says so as though that "
    "closed the account. I keep hearing it: a good age, a good innings. I know. I just wasn't "
    "done. He rang me each Friday at six to read me the crossword clues that he was pretending "
    "not to know. Now at six on a Friday the flat gets so quiet that I go out and walk round the "
    "block rather than sit in it. I was given his watch, which runs four minutes slow, exactly as "
    "it always did. I haven't set it right. At work I said I was fine and then couldn't remember "
    "how to spell a customer's name, a perfectly easy name. I only wanted to tell someone that he "
    "put sugar on tomatoes, and that nobody else I know does that.",
    # A promotion.
    "They gave me the job. Team lead, from the first of the month, the desk by the window and a "
    "rise that makes a real difference. I rang my dad, he whooped so loudly that I held the phone "
    "away. Then I went to the loo and sat there with my head in my hands for ten minutes. I've "
    "wanted this for three years and now that it's here I mostly feel the floor tilting. Ravi "
    "applied as well. From next month I write his appraisal. And there's the old voice that says "
    '"they\'ll find out by Easter". At the same time something in me is walking about with its '
    "chest out. I bought a notebook, a proper one, and wrote the names of all six people in it "
    "and what each of them is good at. It took a whole evening, and it was the first hour that I "
    "felt more curious than scared.",
    # Every other weekend.
    "Handover is at five on Sundays, in the car park of the garden centre, because it's halfway. "
    'We are both very good at it by now. We say "he\'s had his cough syrup" and "maths is in '
    "the front pocket\" and don't look at each other for longer than a sentence takes. He's "
    "seven. He carries his bear in his own arms from one back seat to the other. The first year I "
    "used to drive round the corner and cry until the windows steamed up. Now I go home and strip "
    "his bed, because otherwise I stand in the doorway of his room. I know it was right to "
    "separate, the shouting had got into the walls, and he sleeps better in both places than he "
    "did in one. Today he turned round in her car and waved with the bear's paw until they "
    "reached the roundabout. I waved back with my keys.",
    # First at university.
    "I'm the first in my family to go to university and I spend a lot of time pretending to know "
    'what words mean. In the seminar somebody said "obviously, after Weber", everyone nodded, '
    "and I nodded too and wrote down Vaber. At home they're so proud that I can't tell them. My "
    "nan shows my student card to people at the bus stop. When I ring I talk about the library, "
    "which is beautiful, and leave out that I eat lunch in there, on the fourth floor, behind the "
    "atlases, as I don't know how you join a table. I had an essay back on Monday with a 68 and a "
    "note in pencil: this is your own thinking, do more of it. I've read the note about thirty "
    "times. I still don't feel as if I belong here, but now there's one bit of paper which says "
    "that I might.",
    # Looking after a wife.
    "My wife was told about her MS nine years ago and I have been her carer for the past four. "
    "I'm writing at the kitchen table because it is the one hour when she's asleep and the "
    'washing machine is doing something useful. We still laugh. She calls me "matron" when I '
    "get bossy. What I can't say to her is that I'm worn through. My back is bad, I haven't seen "
    "my own friends since the autumn, and last week when the alarm went I lay there and thought, "
    "quite calmly, no. Of course I got up. The social worker asked how I was coping, and my wife "
    "was in the room, so I said I'm coping. There's a respite place that would take her for six "
    "days in August. I've filled in half of the form and put it under the fruit bowl, because "
    "signing it feels like leaving her at a station.",
    # On the bus.
    "It happened on the number 14 again, somewhere after the bridge. First the lights looked too "
    "bright, then my hands weren't mine, and then I was certain, completely certain, that if I "
    "didn't get off at once something terrible would happen to me in front of all those coats. I "
    "got off. Within five minutes I felt nearly normal and like an idiot. That makes six times "
    "since September. I now know which routes have the most stops. I have started to leave for "
    "the office at half past six because it's emptier then. So the thing is arranging my life and "
    "I'm helping it. I finally told the nurse at the surgery and she didn't laugh. She drew a "
    "curve on a bit of paper, up and over and down, and said that it always comes down, whether I "
    "get off or not. Tomorrow I shall try to stay on for one more stop.",
    # After a collision.
    "The accident was fourteen months ago and I walked away from it, which is what everyone says, "
    "so I say it too. The other driver skidded, nobody's fault, both cars written off. I drive "
    "again now, I have to, the school is on the other side of the valley. But when a lorry brakes "
    "ahead of me I'm back there: not like remembering, more like the road is swapped for that "
    'road. I can smell the airbag dust. Then my daughter says "Mum, it\'s green", and I notice '
    "that I've been holding the wheel so hard my fingers have gone white. I've become the person "
    "who checks the door three times and jumps when the toaster pops, and my husband tries to be "
    "funny about the toaster. I've a first appointment with someone on the ninth. I nearly "
    "cancelled it twice, since I was hardly hurt, and others weren't so lucky. He just said to "
    "go.",
    # A change of tablets.
    "They've changed my tablets again, the third kind since spring, and I am in the in-between "
    "weeks. The old ones dulled everything; I could've watched my house being carried off and "
    "said mind the step. With these new ones my mouth is dry, I yawn in meetings, and I'm queasy "
    "until eleven. My doctor says to give it six weeks before I judge, and I do trust her, but "
    "six weeks is a long time to feel like a radio between two stations. I keep a small chart on "
    "the inside of the wardrobe door: sleep, appetite, mood out of ten, did I go outside. It's "
    "mostly fours. Yesterday was a six and I distrust it. My flatmate found the chart when she "
    'borrowed a scarf, and instead of being weird she asked "what was the six?" I had to think. '
    "It was the dog in the courtyard who'd stolen a whole baguette.",
    # A boy at school.
    "I'm in year ten and I've got a system. I come in by the gym door, since they wait at the "
    "main one. At break I'm in the art room, Mr Okafor lets me wash the brushes. They don't hit "
    "me or anything. It is just the noise they make when I walk in, everybody, quietly, every "
    "single time, for a year and a half. And the photos with captions in a chat that I'm not in. "
    "Someone always shows me. I don't say stuff even at home, because I've got used to checking "
    "each sentence before it comes out, and then it's too late to say it. My aunt noticed. She "
    "didn't ask what's wrong, she asked \"who sits next to you?\" and I couldn't answer, and she "
    "got her coat and we went for chips and I told her most of it. She's coming to the school on "
    "Friday. I'm dreading it, but also I slept.",
    # Redundancy.
    "Twenty-two years in the same print works and they did it by video, all forty of us in little "
    "squares, and a woman I'd never seen reading out a page. I am fifty-four. So far it's "
    "sixty-one applications, four replies, one interview with a lad who asked where I saw myself "
    'in ten years. I said "drawing a pension", and he didn\'t smile. I get up at the usual time '
    "and put a shirt on, so that the neighbours see me leave, and then I sit in the library with "
    "the other shirts. My wife says that it's not my fault. I know, but I feel it as if it were, "
    "I feel it in shops when I put the better cheese back. The one good thing is the grandchild, "
    "whom I now collect at three. She thinks I've been given a very long holiday for being good.",
    # A new baby.
    "She's seven weeks old and everyone asks whether I'm enjoying her. I say yes because that is "
    "the password. The truth is that some hours I look at her ears and could burst, and other "
    "hours I stand with her at the window at four in the morning and think I have made an "
    "enormous mistake and that someone competent ought to come and fetch her. I cry when the "
    "kettle boils. My partner goes back to work on Monday and I've begun to count the hours until "
    "then, like before an operation. The health visitor came yesterday and I had tidied up and "
    'put mascara on. She drank her tea, looked at me, and asked "and when did you last eat '
    "something hot?\" and that was it, I was gone, I told her all of it. She wasn't shocked. "
    "She's coming again on Thursday, and she wrote a number on the back of my hand.",
    # The choir.
    "I can't really sing. I joined the choir at the community hall because the doctor had written "
    '"something regular, with people" on a slip and this was on a Tuesday and cost three euros. '
    "They put me with the altos, between a retired bus driver and a girl with blue hair. For the "
    "first month I just moved my mouth. It was enough to stand there while it happened on both "
    "sides of me. Then in November we did a slow piece in four parts, and there's one place where "
    "the altos hold a single note and everyone else moves about around it, and I found that I was "
    "holding it as well, that it was coming out of me. I still have grey weeks. There are "
    "Tuesdays when I have to bargain with myself over the shoes. But the bus driver saves me the "
    "chair, he puts his cap on it, and nobody has ever saved me a chair before.",
    # Tired of being here; help asked for.
    "This is hard to put down. For about two months I have had thoughts about not being here any "
    "more. Not a plan, more like a door at the end of the corridor that I keep noticing. I go to "
    'work, I feed the cat, I answer "not bad, you?" and all the while there it is. I\'m so tired '
    "of being someone who has to be cheered up. On Sunday I told my cousin, on the phone, while "
    "she was shelling peas. I said it quite badly. She stopped shelling and said \"I'm coming "
    'over, put the kettle on", and she sat with me till it got light, and on Monday she drove me '
    "to the doctor and waited. I have a number to ring at any hour and I've rung it once. I don't "
    "feel better exactly. I feel accompanied. That's as far as I've got.",
    # A decision.
    "Two offers and until Friday to choose. One is the flat we've been renting, which the owner "
    "will sell us, small and dark and five minutes from both our jobs. The other is a house in "
    "the village where he grew up, with a garden, a damp cellar and his parents two doors down. "
    "We've made lists. He says \"just tell me what you want\", and I open my mouth, and it's as "
    "if someone had asked me for a number between one and a million. It's not only houses. I "
    "stood in front of the yoghurts last night for so long that a member of staff asked if I "
    "needed help. I am not unhappy, I think, only full, right up to the rim, and any choice at "
    "all is one more drop. Tonight we're leaving the list at home and going for a walk.",
    # Running.
    "Ran my first ten kilometres today, in an hour and nine, which isn't fast by any measure "
    "other than mine. Two winters ago I weighed thirty kilos more and couldn't hear my alarm "
    "through the fog that I lived in. I didn't begin to run because of some grand decision. My "
    "neighbour's dog needed walking while she had her cataracts done, and the dog didn't care how "
    "I felt about it. We went round the pond. Then round it twice. When she took him back I found "
    "I missed the pond, so I kept on going by myself, at six in the morning when there's nobody "
    "to see. It's the one place where I don't talk to myself like a disappointed teacher. There "
    'was a water table today, and a small boy handing out cups, and he shouted "come on, old '
    "man\" at me with total goodwill. I'm thirty-eight. I have never felt so encouraged in my "
    "life.",
    # Faith.
    "I was brought up in the church, I taught Sunday school for eleven years, and since last "
    "summer I've not been able to pray. Nothing happened. There was no quarrel and no tragedy, "
    "it's more that one evening I knelt down and it felt like speaking into a phone after the "
    "other person has hung up. I still go. I stand and sit in the right places, I bring the lemon "
    "cake. I miss it as you miss a language. I tried to tell my husband, who isn't a believer, "
    "and he said gently \"but you're still you\", and that is just what I'm not sure of. These "
    "days I walk up to the reservoir on Sunday afternoons and stay there until it's cold. Some "
    "days I get a feeling in my chest there, wide and quiet, and don't give it any name. I leave "
    "it alone and go home.",
    # Retirement.
    "They gave me a clock, which is a strange present for someone who's just been handed all the "
    "time in the world. Forty-one years as a surveyor. For the first few weeks it was like a "
    "school holiday: I painted the fence, both sides. Then I'd painted the fence. My wife has her "
    "own days, she had them all along, it turns out, with a class and a friend for each one, and "
    "I'm rather underfoot. She's never said it. She said \"why don't you see what Peter is up "
    "to\", and Peter has been dead since March, and we both stood there holding a tea towel. It's "
    "just that nobody needs me to be anywhere. On Monday the primary school asked for grown-ups "
    "to hear the children read, half an hour each. I've a girl called Amina who growls all of the "
    "wolves. I have set the clock to go off for it.",
    # Another language.
    "In my own language I'm a quick person. I make puns. I was the one at the table whom people "
    "waited for. Here, after five years, I'm slow and polite and agree with everyone, since by "
    "the time I have built my sentence the talk has gone on to another street. I was a chemist. "
    'My papers are with an office and the office has written "please be patient" three times. '
    "My children have no accent at all now and they correct me in shops, under their breath, to "
    "help, and I'm grateful, and I go red. At night I sometimes speak to the bathroom mirror the "
    "way that I used to talk, just to hear if she's still there. On Tuesday at my evening class I "
    "made a joke, a small one, with a word that has two meanings. There was a pause, and then the "
    "whole room laughed. I've been carrying it around like a coin.",
    # A brother's debts.
    "My brother rang at midnight and I knew from how he said my name. It's always the same song: "
    "a friend he owes, a thing that's sure to come through, only until the fifteenth. I have lent "
    "him something like nine thousand over the years and never written it down, because writing "
    "it down would've made it a fact. This time I said no. I'd practised it with the woman at the "
    'advice centre, the actual sentence, "I\'m not able to do that, and I love you", and I said '
    "it, and he was silent and then he called me something, and then he hung up. It's been four "
    "days. I check whether he's been online, it's a green dot, that's all I want, the dot. My "
    "stomach hurts the whole time. Everyone tells me that I did the right thing. It feels exactly "
    "like doing the wrong one.",
    # Flatmates.
    "There are four of us in the flat and a rota on the fridge that only I can see, apparently. I "
    "know it's ridiculous to be this angry about a pan. It had been in the sink since Thursday "
    'with rice growing into it, and when I washed it, again, Jonas came in, said "oh nice, you '
    'did the pan", and took it out of my wet hands to make himself eggs. I said nothing. I went '
    "to my room and composed a speech of about nine paragraphs. Later on I knocked at his door "
    "and managed two sentences, in a normal voice, about the pan and about Thursdays. He went "
    "pink. He said he honestly hadn't noticed, and sorry. That was it. The sky stayed up. I did "
    "my reading for tomorrow and even hummed a bit, and I keep on going over it as if I'd won "
    "something.",
)

MOST = 3 * len(POSTS)
"""How many posts `at_most` can give."""

_SENTENCE_END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"']))\s+(?=[\"']?[A-Z])")


def halves(post: str) -> tuple[str, str]:
    """Cut a post in two where a sentence ends, nearest to its middle.

    Raises:
        ValueError: it has only one sentence.
    """
    ends = list(_SENTENCE_END.finditer(post))
    if not ends:
        raise ValueError("the post has only one sentence")
    middle = min(ends, key=lambda end: abs(end.start() - len(post) / 2))
    return post[: middle.start()], post[middle.end() :]


def at_most(number: int) -> tuple[str, ...]:
    """The first `number` of: `POSTS`, then the two halves of each, up to `MOST`.

    Raises:
        ValueError: the number is not from 1 to `MOST`.
    """
    if not 1 <= number <= MOST:
        raise ValueError(f"the number of posts must be from 1 to {MOST}")
    return (POSTS + tuple(half for post in POSTS for half in halves(post)))[:number]
