"""How far can a learned reward be optimised before the true one falls?

Question: texts of a small model of a Markov language, whose true reward is the language's own log-probability
          a token: proxies of three sizes learn it from 100, 1,000 or 10,000 comparisons, and the best of n by
          a proxy is chosen. How does the true reward of the chosen go with the divergence from the policy?
Command:  python -m lab run experiments.reward   (:accelerator, :smoke)
Cost:     laptop: 3 runs, 0 FLOPs, about 0 minutes on two cores; then some 3 minutes for 27 proxies;
          accelerator: 5 runs, 0 FLOPs
Answer:   expected: with d the root of KL = log n - (n - 1)/n, the gold reward goes as d (alpha - beta d), as
          Gao et al. 2022 (arXiv 2210.10760) find, within 5 % of its peak. Of 100 comparisons it peaks and
          falls inside n = 4,096 for every size; of 10,000 it does not fall. beta falls with comparisons and,
          less, with the proxy's size; alpha rises with comparisons. The proxy's own score goes on rising
          throughout

"""
