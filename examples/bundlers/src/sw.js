// What runs when no page is open: it shows what is pushed.
import { serve } from "tutti-sync/sw";

serve({ page: "/" });
