
0
wConst*
dtype0*
valueB