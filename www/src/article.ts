/** Something long to read, in paragraphs that keep their names: a place in it is one of them and an offset. */
export const ARTICLE = {
  key: "article:on-keeping-time",
  title: "On keeping time",
  subtitle: "What orchestras, railways and fireflies knew before computers had to learn it",
  paragraphs: [
    {
      id: "tuning",
      text: "Before anything is played, somebody gives an A. The oboe sounds it, the leader of the strings takes it over, and for half a minute everybody in the room does the same small thing: listen, compare, correct. Nobody votes on what an A is, and nobody asks the oboist to prove it. The note need not be right. It needs to be the same.",
    },
    {
      id: "the-same",
      text: "That is the whole difficulty of doing anything together, and it has two halves which are easy to mistake for one. The first is to agree on what has happened. The second is to agree on when. A choir that sings the right notes at the wrong moments is no better off than one that sings the wrong notes in perfect step; and an audience, it turns out, forgives the second rather more easily.",
    },
    {
      id: "lully",
      text: "For a long time the answer was to be loud. In the Paris of Louis XIV Jean-Baptiste Lully kept the king’s musicians together by beating the floor with a heavy staff. In January 1687, at a performance of his Te Deum to celebrate the king’s recovery from illness, he struck his own foot. He would not hear of an amputation, and by the end of March the wound had killed him. It is hard to think of a stronger argument against a single point of failure.",
    },
    {
      id: "silent",
      text: "His successors put the staff down and picked up something lighter. A conductor’s baton makes no sound at all, which is the point of it: it travels at the speed of light, where a beaten floor travels at the speed of sound. Ten metres of stage are thirty milliseconds for the ear and nothing for the eye. A percussionist at the very back who plays what she hears is late. One who plays what she sees is on time, and sounds wrong to herself.",
    },
    {
      id: "delay",
      text: "So an orchestra is a network with delays, and its players have learned not to trust what arrives. They know, without ever putting a number to it, how old the news is by the time it reaches them, and they aim ahead. Organists do it most of all. In some churches the pipes hang so far from the keys that a player hears each chord well after the fingers have left it, and must go on as though it had already been heard.",
    },
    {
      id: "huygens",
      heading: "An odd kind of sympathy",
      text: "In the winter of 1665 Christiaan Huygens was ill and had to stay in his room, with two of his own pendulum clocks for company. They hung from the same wooden beam. He noticed that however they were started, within half an hour they swung in step: always towards each other and then apart, never drifting. He called it an odd kind of sympathy. When he moved one of them to the other side of the room, it was gone.",
    },
    {
      id: "beam",
      text: "He soon found out why. The beam was not quite stiff. Each swing nudged it by an amount too small to see, and each nudge told the other clock a little about where the first one was. Nothing led and nothing followed. Two simple things that do the same simple thing, and a channel between them that is almost nothing: from that alone, and some patience, comes agreement.",
    },
    {
      id: "fireflies",
      text: "Along certain rivers in South-East Asia, fireflies by the thousand gather in the mangroves at dusk and flash: at first each for itself, then in twos and patches, and before long whole trees at once. No firefly conducts. Each one has a rhythm of its own and a rule: when you see a flash, hurry a little. Travellers who wrote home about it in the seventeenth century were politely not believed, and the explanations that came in the twentieth were not much easier to credit than the sight.",
    },
    {
      id: "bristol",
      heading: "The two minute hands of Bristol",
      text: "For most of history nobody minded that noon in Bristol came ten minutes after noon in London. The sun is simply later there, and there was no way of travelling that would have let anyone notice. Then came the Great Western Railway. A timetable that has a train leave by one clock and arrive by another cannot be read, and two trains that believe in different times may believe in the same piece of track.",
    },
    {
      id: "railway-time",
      text: "In November 1840 the company settled the matter for itself and ran by London time throughout. Not every town was pleased to be told what time it was. Bristol held out until 1852, and on the Corn Exchange a clock was fitted with a second minute hand, so that one could see at a glance both the time and the time. It is still there. Anyone who has looked at a message marked as sent before the one that it answers has stood under that clock.",
    },
    {
      id: "two-noons",
      text: "In the United States there were dozens of railway times, and stations where several met had a clock for each. On the 18th of November 1883, a Sunday, the companies put an end to it. In the eastern part of every new zone, clocks that had already struck twelve were set back to strike it again. The day went down as the day of two noons. Nobody had consulted the sun, and hardly anybody thought to consult the government, which did not make it law until 1918.",
    },
    {
      id: "lamport",
      heading: "Before and after",
      text: "Computers inherited the problem and made it worse, for they are quick enough that even a good clock is a poor witness. Two machines that disagree by a hundredth of a second can each do ten thousand things within the disagreement. In 1978 Leslie Lamport published a paper of eight pages which began by letting go of time altogether. What matters is not when something happened. What matters is whether it could have known of the other thing.",
    },
    {
      id: "counting",
      text: "His clocks do not tick; they count. Each machine counts what it does. Each message carries the count of its sender, and whoever receives it moves their own count beyond it. That is all, and it is enough to guarantee that no effect ever bears a smaller number than its cause. A reply comes after the question, whatever the wall clocks on both sides may have to say about the year.",
    },
    {
      id: "hybrid",
      text: "The price is that such a number means nothing to people. Nobody wants to meet at forty thousand and seven. So a later design, the hybrid logical clock, keeps both: it stays as close to the wall clock as it can, and counts only where the wall clock would contradict what it has already been told. If a message arrives from a minute ahead, the clock does not argue. It writes down that minute, adds one, and waits for the world to catch up.",
    },
    {
      id: "far-future",
      text: "It does so within reason. A telephone that believes it is next year could otherwise win every argument until next year, since of two edits the later one holds, and it would always be later. So there is a limit beyond which a claim is not believed but refused. Lully’s musicians could have used the rule: follow whoever beats the time, unless the staff is coming down on a foot.",
    },
    {
      id: "tunnel",
      heading: "In the tunnel",
      text: "All of this assumes that messages arrive. On a train they do not, for minutes at a stretch, and then they do, all at once. One can treat this as an error, and show the traveller a sad cloud. Or one can treat it as a rest: a stretch of silence that is written into the part, counted by everybody who has it, and left together. The second violins do not ask to be reconnected after eight bars of nothing. They were there all along.",
    },
    {
      id: "your-place",
      text: "You may be reading this on one device and be called away, and pick up another. If things are as they should be, it will open on this paragraph: not at so many pixels from the top, since the other screen may be a third as wide, but here, at these words, because the place was given a name and an offset, and names survive the journey. Nothing was asked of you. The page turned itself, a little late, like a good neighbour at the same desk.",
    },
    {
      id: "tutti",
      text: "In a score there is a word for the moment at which the soloists have had their say and everyone comes in. It is written above the stave, small, in italics, and it does not tell anyone how. That was settled earlier, in the half minute with the oboe, and in all the years before it: listen, compare, correct. The word is tutti, and it means: all of us.",
    },
  ],
} as const;

export type Paragraph = { id: string; text: string; heading?: string };
