// What runs when no page is open. Next.js does not bundle it: it is served as it is, beside a copy of the package.
import { serve } from "./tutti-sync/sw.js";

serve({ url: new URL(location.href).searchParams.get("sync"), page: "/" });
