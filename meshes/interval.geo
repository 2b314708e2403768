// The interval [0, 1], edges graded towards both ends
Mesh.MshFileVersion = 2.2;
Point(1) = {0, 0, 0, 0.005};
Point(2) = {0.5, 0, 0, 0.03};
Point(3) = {1, 0, 0, 0.005};
Line(1) = {1, 2};
Line(2) = {2, 3};
Physical Point("left") = {1};
Physical Point("right") = {3};
Physical Curve("rod") = {1, 2};
