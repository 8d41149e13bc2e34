//! The words of the play.

pub(super) const FIRST_NAMES: &[&str] = &[
    "Ada", "Noah", "Mira", "Jonas", "Zoë", "Samir", "Ingrid", "Mateo", "Yuki", "Amara", "Lukas", "Priya",
    "Elif", "Oscar", "Hana", "Tomás", "Nadia", "Kofi", "Freya", "Leo", "Sofía", "Anton", "Leila", "Rafael",
];
pub(super) const LAST_NAMES: &[&str] = &[
    "Lindqvist",
    "Okafor",
    "Moreau",
    "Tanaka",
    "Novak",
    "Silva",
    "Keller",
    "Haddad",
    "Bergström",
    "Mendoza",
    "Ivanova",
    "Fischer",
    "Nakamura",
    "Rossi",
    "Dubois",
    "Kowalski",
    "Mbeki",
    "Larsen",
    "Costa",
    "Weber",
    "Iyer",
    "Brandt",
];
pub(super) const COMPANIES: &[&str] = &[
    "Northwind Labs",
    "Blue Harbor",
    "Quantum Orchard",
    "Helios Freight",
    "Paper Crane Studio",
    "Cobalt Robotics",
    "Fernweh Travel",
    "Bright Acre Farms",
    "Lumen & Sons",
    "Tidewater Energy",
    "Granite Bank",
    "Aurora Health",
];
pub(super) const CITIES: &[&str] = &[
    "Lisbon",
    "Zürich",
    "Osaka",
    "Nairobi",
    "Bergen",
    "Montréal",
    "Valparaíso",
    "Kraków",
    "Melbourne",
    "Porto",
    "Helsinki",
    "Seoul",
    "Austin",
    "Antwerp",
];
pub(super) const COUNTRIES: &[&str] = &[
    "Portugal",
    "Switzerland",
    "Japan",
    "Kenya",
    "Norway",
    "Canada",
    "Chile",
    "Poland",
    "Australia",
    "Finland",
    "South Korea",
    "Belgium",
];
pub(super) const STREETS: &[&str] = &[
    "Harbor Street",
    "Mill Lane",
    "Rua da Prata",
    "Elm Avenue",
    "Seestrasse",
    "Station Road",
];
pub(super) const JOBS: &[&str] = &[
    "Staff Engineer",
    "Product Designer",
    "Data Scientist",
    "Marine Biologist",
    "Head of Operations",
    "Journalist",
    "Research Fellow",
    "Account Manager",
    "Site Reliability Engineer",
    "Translator",
];
pub(super) const SKILLS: &[&str] = &[
    "Rust",
    "distributed systems",
    "PostgreSQL",
    "technical writing",
    "machine learning",
    "Kubernetes",
    "TypeScript",
    "statistics",
    "user research",
    "negotiation",
    "WebSockets",
    "Python",
    "cartography",
    "public speaking",
];
pub(super) const TAGS: &[&str] = &[
    "launch",
    "research",
    "urgent",
    "billing",
    "onboarding",
    "security",
    "feedback",
    "roadmap",
    "mobile",
    "archive",
    "performance",
    "design",
];
pub(super) const LANGUAGES: &[&str] = &[
    "English",
    "Portuguese",
    "German",
    "Japanese",
    "Swahili",
    "French",
    "Polish",
    "Spanish",
];
pub(super) const FOODS: &[&str] = &[
    "olive oil",
    "red lentils",
    "garlic",
    "lemon",
    "basmati rice",
    "spinach",
    "cumin",
    "feta",
    "chickpeas",
    "rye flour",
    "butter",
    "thyme",
];
pub(super) const PRODUCTS: &[&str] = &[
    "Trail Backpack 30L",
    "Ceramic Pour-Over Set",
    "Noise-Cancelling Headphones",
    "Walnut Desk Lamp",
    "Merino Base Layer",
    "Compact Tripod",
    "Cast-Iron Skillet",
    "Mechanical Keyboard",
];
pub(super) const EVENTS: &[&str] = &[
    "Spring Product Summit",
    "Harbor Jazz Night",
    "Rust Meetup",
    "Annual Review",
    "Design Sprint",
    "Coastal Marathon",
];
pub(super) const TITLES: &[&str] = &[
    "A quiet year for the harbor",
    "What the tide tables taught us",
    "Shipping in small steps",
    "The case for boring queues",
    "Notes from the north shore",
    "A field guide to slow software",
    "Every token counts",
    "Letters from the cartographer",
];
pub(super) const COLORS: &[&str] = &["teal", "amber", "crimson", "slate", "ivory", "forest green"];
pub(super) const CURRENCIES: &[&str] = &["EUR", "USD", "JPY", "CHF", "GBP", "KES"];
pub(super) const STATUSES: &[&str] = &["open", "in progress", "done", "blocked"];
pub(super) const PRIORITIES: &[&str] = &["low", "medium", "high"];
pub(super) const CATEGORIES: &[&str] = &["engineering", "finance", "travel", "health", "culture", "science"];
pub(super) const UNITS: &[&str] = &["g", "ml", "piece", "cup", "kg"];
pub(super) const SENTIMENTS: &[&str] = &["positive", "neutral", "negative"];
pub(super) const KEYS: &[&str] = &[
    "alpha", "bravo", "cedar", "delta", "ember", "fjord", "grove", "harbor", "iris", "juniper",
];

pub(super) const SENTENCES: &[&str] = &[
    "The first results arrived earlier than anyone had planned.",
    "Most of the work happened quietly, in small steps that nobody had to announce.",
    "Three things stood out: the pace, the care, and how calm the café stayed.",
    "It began as a weekend experiment and slowly became a habit.",
    "Nobody expected the harbor to freeze before the end of November.",
    "The team wrote everything down, which turned out to be the cheapest decision of all.",
    "By spring the numbers had doubled, and so had the questions.",
    "A short walk along the river settled what two meetings could not.",
    "Costs fell by a fifth once the old pipeline was switched off.",
    "She still keeps the first sketch pinned above the desk.",
    "What follows is a summary of what was agreed, and of what was left open.",
    "The map was wrong in one place only — the place that mattered.",
];

pub(super) const THOUGHTS: &[&str] = &[
    "Let me read the schema first and see what is required.",
    "The names should be consistent with each other.",
    "I should keep the numbers inside their bounds.",
    "Now I can write the answer in one go.",
];
pub(super) const REFUSAL: &str = "I'm sorry, but I can't help with that request.";
pub(super) const NO_JSON: &str = "I looked into this, but I would rather describe it in plain words: everything went well, and nothing needs to change.";
pub(super) const PREFACE: &str = "Sure! Here is what I found:";
pub(super) const AFTERWORD: &str = "Let me know if anything should be changed.";
