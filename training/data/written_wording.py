"""The words of explanations that are written by rule; see `training.data.written`.

Ours, after the definitions of the sets' papers: CAMS (Garg et al., LREC 2022), IRF (Garg et al.,
ACL 2023 Findings) and MultiWD (Sathvik and Garg, 2023). They speak of the post, not of a person's
health, and of no certainty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

OPENINGS = (
    "The post says {}.",
    "The poster writes {}.",
    "The poster mentions {}.",
    "Part of the post reads {}.",
    "The poster says {} in the post.",
    "The words {} stand out in the post.",
)

ENDS: Mapping[str, tuple[str, ...]] = {
    "depression_cause": (
        "The post shows {} as the cause.",
        "So the cause that the post points to is {}.",
        "This fits {} better than any of the other causes.",
        "The label that suits the post best is therefore {}.",
    ),
    "interpersonal_risk": (
        "So the post shows {}.",
        "This is a sign of {} in the post.",
        "The risk of {} is therefore present in the post.",
    ),
    "wellness": (
        "So the {} dimension of wellness exists in the post.",
        "This belongs to the {} wellness dimension.",
        "The {} wellness dimension is therefore present in the post.",
    ),
}

CAUSES: Mapping[str, tuple[str, ...]] = {
    "bias_or_abuse": (
        "That is being bullied, judged, hurt or treated without respect by others.",
        "The poster speaks of having been abused or treated unfairly.",
        "Harm done by other people, in words or in deeds, weighs on the poster here.",
    ),
    "jobs_and_career": (
        "Work, studies, exams or money are what weighs on the poster here.",
        "The poster speaks of trouble with a job, with school or with what comes after it.",
        "That is pressure or failure at work or in education.",
    ),
    "medication": (
        "The poster speaks of drugs, of a treatment or of what an illness takes.",
        "Medicine and its effects, or a treatment that does not help, weigh on the poster here.",
        "That is about taking or stopping medication and how it makes the poster feel.",
    ),
    "relationship": (
        "Trouble with a partner, a friend or the family is what weighs on the poster here.",
        "The poster speaks of a relationship that hurts, ended or never began.",
        "That is about people who are close to the poster, or were.",
    ),
    "alienation": (
        "The poster feels alone, worthless or without any purpose.",
        "That speaks of emptiness, of being cut off and of not seeing a point in things.",
        "Feeling lost and apart from everything weighs on the poster here.",
    ),
}

NO_CAUSE = (
    "The poster does not say what the low mood comes from. No work, relationship, medication, "
    "abuse or alienation is named as a reason, so the post shows no cause.",
    "The post names nothing that could have brought this about. It shows none of the causes.",
    "There is no reason given in the post: no trouble with people, work or medication, no abuse "
    "and no alienation. So there is none to be told from it.",
)

PRESENT: Mapping[str, tuple[str, ...]] = {
    "interpersonal_risk.thwarted_belongingness": (
        "That speaks of being alone, unwanted or cut off from others.",
        "The poster lacks people to turn to and does not feel part of anything.",
        "The poster misses company and care, and feels left out.",
    ),
    "interpersonal_risk.perceived_burdensomeness": (
        "The poster sees themselves as a load on others, or as worth nothing to them.",
        "That speaks of being a burden, a failure or of no use to anybody.",
        "The poster believes that others would be better off without them.",
    ),
    "wellness.spiritual": (
        "That is about faith, meaning or what a life is for.",
        "The poster looks for a purpose or for something larger to hold on to.",
    ),
    "wellness.physical": (
        "That is about the body: sleep, food, pain, illness, drugs or exercise.",
        "The poster speaks of how the body does and of what is done with it.",
    ),
    "wellness.intellectual": (
        "That is about thinking, learning, deciding or making something.",
        "The poster speaks of the use of their mind: of understanding, of skills or of ideas.",
    ),
    "wellness.social": (
        "That is about other people and how the poster gets on with them.",
        "The poster speaks of friends, of the family or of the lack of them.",
    ),
    "wellness.vocational": (
        "That is about work, school, money or plans for a career.",
        "The poster speaks of a job or of studies and of what they demand.",
    ),
    "wellness.emotional": (
        "That is about feelings and how the poster copes with them.",
        "The poster speaks of moods, fears or joys and of what to do with them.",
    ),
}

ABSENT: Mapping[str, tuple[str, ...]] = {
    "interpersonal_risk.thwarted_belongingness": (
        "The poster does not speak of being alone, unwanted or left out. There is no sign of "
        "thwarted belongingness in the post.",
        "Nothing in the post says that the poster lacks people to belong to. So thwarted "
        "belongingness is not shown.",
        "The post is about other things than company and care. It does not show thwarted "
        "belongingness.",
    ),
    "interpersonal_risk.perceived_burdensomeness": (
        "The poster does not say that they are a load on others or of no use. There is no sign of "
        "perceived burdensomeness in the post.",
        "Nothing in the post says that others would be better off without the poster. So perceived "
        "burdensomeness is not shown.",
        "The post is about other things than being a burden. It does not show perceived "
        "burdensomeness.",
    ),
    "wellness.spiritual": (
        "The post does not speak of faith, of meaning or of a purpose in life. So the spiritual "
        "dimension of wellness does not exist in it.",
        "There is nothing about belief or about what life is for. The spiritual wellness dimension "
        "is not present in the post.",
    ),
    "wellness.physical": (
        "The post does not speak of the body: not of sleep, food, pain or illness. So the physical "
        "dimension of wellness does not exist in it.",
        "There is nothing about health of the body, drugs or exercise. The physical wellness "
        "dimension is not present in the post.",
    ),
    "wellness.intellectual": (
        "The post does not speak of learning, ideas or skills. So the intellectual dimension of "
        "wellness does not exist in it.",
        "There is nothing about thinking things through or making something. The intellectual "
        "wellness dimension is not present in the post.",
    ),
    "wellness.social": (
        "The post does not speak of friends, family or other people around the poster. So the "
        "social dimension of wellness does not exist in it.",
        "There is nothing about how the poster gets on with others. The social wellness dimension "
        "is not present in the post.",
    ),
    "wellness.vocational": (
        "The post does not speak of work, school, money or a career. So the vocational dimension "
        "of wellness does not exist in it.",
        "There is nothing about a job or studies. The vocational wellness dimension is not present "
        "in the post.",
    ),
    "wellness.emotional": (
        "The post does not speak of the poster's feelings or of coping with them. So the emotional "
        "dimension of wellness does not exist in it.",
        "There is little about moods, fears or joys. The emotional wellness dimension is not "
        "present in the post.",
    ),
}


def _words(stems: str) -> re.Pattern[str]:
    alternatives = "|".join(stems.split()).replace("_", r"\s+")
    return re.compile(rf"\b(?:{alternatives})\b", re.IGNORECASE)


WORDS: Mapping[str, re.Pattern[str]] = {
    "wellness.spiritual": _words(
        r"gods? faiths? pray\w* church religio(?:n|us) souls? spiritual\w* universe purpose"
        r" meaning(?:less)? heaven karma reason_to_live"
    ),
    "wellness.physical": _words(
        r"sle(?:ep|pt)\w* insomnia eat(?:ing)? ate food weight body pain pills? medic\w* drugs?"
        r" alcohol drink\w* drunk smok\w* sick ill(?:ness)? hospital doctors? tired exhausted gym"
        r" exercis\w* headaches? overdose health"
    ),
    "wellness.intellectual": _words(
        r"learn\w* read(?:ing)? books? stud(?:y|ies|ying) ideas? creativ\w* writ(?:e|ing) music art"
        r" skills? decides? decided deciding decisions? concentrate smart intelligent goals?"
        r" hobb(?:y|ies)"
    ),
    "wellness.social": _words(
        r"friends? family mom mother dad father parents? brothers? sisters? girlfriend boyfriend"
        r" wife husband partner alone lonel\w+ relationships? nobody no_one everyone"
    ),
    "wellness.vocational": _words(
        r"jobs? work(?:ing|ed)? boss careers? school college university exams? degree class(?:es)?"
        r" grades? money bills rent debts? unemployed fired salary students? graduat(?:e|ed|ing)"
    ),
    "wellness.emotional": _words(
        r"feel(?:s|ing|ings)? felt sad(?:ness)? happy happiness cr(?:y|ying|ied) anxi(?:ous|ety)"
        r" depress\w* angry anger afraid scared fear hate numb empty hurt miserable stressed"
        r" overwhelmed ashamed guilt(?:y)? mood emotion(?:s|al)?"
    ),
}
"""Question of MultiWD to words that show what it asks for, in posts that annotators found it in."""
