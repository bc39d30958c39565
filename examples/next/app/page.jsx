import Link from "next/link";

export default function Page() {
  return (
    <ul>
      <li>
        <Link href="/anna/ben">anna</Link>
      </li>
      <li>
        <Link href="/ben/anna">ben</Link>
      </li>
    </ul>
  );
}
